/** What a delivery is, told in its head. */
export interface Delivery {
  readonly event: 'release' | 'alert';
  /** The same on every attempt: who gets it twice leaves the second out. */
  readonly id: string;
}

const WEBHOOK_TIMEOUT_MS = 5000;

/**
 * Sends a receipt by HTTP POST. It is signed already, by the log: whoever holds the log's key can verify it offline.
 * Rejects when it was not taken; then it is sent again, and after a crash perhaps once more than it was taken.
 */
export async function deliverByHttp(url: string, receipt: string, { event, id }: Delivery): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    body: receipt,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'glovebox-event': event, 'glovebox-delivery': id },
    redirect: 'error',
    signal: AbortSignal.timeout(WEBHOOK_TIMEOUT_MS),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`the webhook answered ${answer.status}`);
}
