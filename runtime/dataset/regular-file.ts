/**
 * Files of record and layouts as they lie on disk: opened only when they are files. Whatever else was put in their place is
 * told at once: a named pipe would hold a thread of the gateway until somebody writes, and a device never ends.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** A folder, a pipe, a socket or a device stands where a file should be. */
export class NotRegularFile extends Error {
  override readonly name = 'NotRegularFile';
}

/** The file, opened for reading. Throws `NotRegularFile`, or what the system says. */
export async function openRegularFile(path: string): Promise<FileHandle> {
  // A pipe without a writer opens at once; to files it makes no difference.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    const isSocket = (cause as NodeJS.ErrnoException).code === 'ENXIO';
    throw isSocket ? new NotRegularFile(`${path} is no file`, { cause }) : cause;
  });
  try {
    if (!(await file.stat()).isFile()) throw new NotRegularFile(`${path} is no file`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The text of a file. Throws as `openRegularFile` does. */
export async function readRegularText(path: string): Promise<string> {
  const file = await openRegularFile(path);
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
