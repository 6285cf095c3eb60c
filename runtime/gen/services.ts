// Generated from proto/glovebox/v1 by runtime/rpc/generate-types.ts; do not edit.

import type { Caller } from '../identity/party.ts';
import type { Answer, CallContext, CallOptions, Init } from '../rpc/call.ts';
import type {
  AcceptAgreementRequest,
  AcceptAgreementResponse,
  AcknowledgeAlertRequest,
  AcknowledgeAlertResponse,
  AddPartyRequest,
  AddPartyResponse,
  AdmitPartyRequest,
  AdmitPartyResponse,
  ApproveCodeRequest,
  ApproveCodeResponse,
  AttachPolicyRequest,
  AttachPolicyResponse,
  BackupRequest,
  BackupResponse,
  CancelJobRequest,
  CancelJobResponse,
  CheckMeterRequest,
  CheckMeterResponse,
  CheckPolicyRequest,
  CheckPolicyResponse,
  ChooseParametersRequest,
  ChooseParametersResponse,
  CounterAgreementRequest,
  CounterAgreementResponse,
  DebugJobRequest,
  DebugJobResponse,
  DiffPolicyRequest,
  DiffPolicyResponse,
  DrainRequest,
  DrainResponse,
  ErasePartyRequest,
  ErasePartyResponse,
  ExitPartyRequest,
  ExitPartyResponse,
  ExplainJobRequest,
  ExplainJobResponse,
  ExplainPolicyRequest,
  ExplainPolicyResponse,
  ExportEvidenceRequest,
  ExportEvidenceResponse,
  FetchCiphertextRequest,
  FetchCiphertextResponse,
  FulfilDutyRequest,
  FulfilDutyResponse,
  GetAgreementRequest,
  GetAgreementResponse,
  GetBudgetRequest,
  GetBudgetResponse,
  GetCheckpointRequest,
  GetCheckpointResponse,
  GetDatasetRequest,
  GetDatasetResponse,
  GetExportListRequest,
  GetExportListResponse,
  GetImageRequest,
  GetImageResponse,
  GetJobRequest,
  GetJobResponse,
  GetPolicyRequest,
  GetPolicyResponse,
  GetReceiptRequest,
  GetReceiptResponse,
  GetTranscriptKeyRequest,
  GetTranscriptKeyResponse,
  GetUploadRequest,
  GetUploadResponse,
  GradeDatasetRequest,
  GradeDatasetResponse,
  GrantBudgetRequest,
  GrantBudgetResponse,
  GrantMandateRequest,
  GrantMandateResponse,
  ListAgreementsRequest,
  ListAgreementsResponse,
  ListAlertsRequest,
  ListAlertsResponse,
  ListBudgetsRequest,
  ListBudgetsResponse,
  ListCiphertextsRequest,
  ListCiphertextsResponse,
  ListCodeRequest,
  ListCodeResponse,
  ListDatasetsRequest,
  ListDatasetsResponse,
  ListDisputesRequest,
  ListDisputesResponse,
  ListEntriesRequest,
  ListEntriesResponse,
  ListImagesRequest,
  ListImagesResponse,
  ListJobsRequest,
  ListJobsResponse,
  ListMandatesRequest,
  ListMandatesResponse,
  ListPartiesRequest,
  ListPartiesResponse,
  ListProjectsRequest,
  ListProjectsResponse,
  ListTablesRequest,
  ListTablesResponse,
  ListTrustRequest,
  ListTrustResponse,
  OfferAgreementRequest,
  OfferAgreementResponse,
  OpenDisputeRequest,
  OpenDisputeResponse,
  RecogniseRequest,
  RecogniseResponse,
  RegisterDatasetRequest,
  RegisterDatasetResponse,
  RegisterEncryptedRequest,
  RegisterEncryptedResponse,
  RejectCodeRequest,
  RejectCodeResponse,
  RemoveTableRequest,
  RemoveTableResponse,
  RenewPartyRequest,
  RenewPartyResponse,
  ReportMeterRequest,
  ReportMeterResponse,
  ResolveDisputeRequest,
  ResolveDisputeResponse,
  ResumeAgreementRequest,
  ResumeAgreementResponse,
  ResumeAllRequest,
  ResumeAllResponse,
  ResumePartyRequest,
  ResumePartyResponse,
  ReviewCodeRequest,
  ReviewCodeResponse,
  RevokeCodeRequest,
  RevokeCodeResponse,
  RevokeKeyRequest,
  RevokeKeyResponse,
  RevokeMandateRequest,
  RevokeMandateResponse,
  RevokeTrustRequest,
  RevokeTrustResponse,
  RunHomomorphicRequest,
  RunHomomorphicResponse,
  SaveProjectRequest,
  SaveProjectResponse,
  SetCustodianRequest,
  SetCustodianResponse,
  SetDecryptorRequest,
  SetDecryptorResponse,
  SetExportListRequest,
  SetExportListResponse,
  SettleRequest,
  SettleResponse,
  SignAgreementRequest,
  SignAgreementResponse,
  SplitRevenueRequest,
  SplitRevenueResponse,
  StatusRequest,
  StatusResponse,
  StopAllRequest,
  StopAllResponse,
  SubmitCodeRequest,
  SubmitCodeResponse,
  SubmitJobRequest,
  SubmitJobResponse,
  SuspendAgreementRequest,
  SuspendAgreementResponse,
  SuspendPartyRequest,
  SuspendPartyResponse,
  TerminateAgreementRequest,
  TerminateAgreementResponse,
  TestPolicyRequest,
  TestPolicyResponse,
  TopUpCreditRequest,
  TopUpCreditResponse,
  TrustRequest,
  TrustResponse,
  TwinDatasetRequest,
  TwinDatasetResponse,
  UploadCiphertextRequest,
  UploadCiphertextResponse,
  UploadTableRequest,
  UploadTableResponse,
  VerifyDatasetRequest,
  VerifyDatasetResponse,
  VerifyReceiptRequest,
  VerifyReceiptResponse,
  WatchJobRequest,
  WatchJobResponse,
  WhoAmIRequest,
  WhoAmIResponse,
  WithdrawColumnRequest,
  WithdrawColumnResponse,
} from './messages.ts';

/** Contracts of providers and consumers. The content is immutable; no job runs without an active agreement. */
export interface AgreementServiceHandlers {
  /** Lays out an offer of a policy version to a party. The answer holds the content to sign; it is drafted until signed. */
  offer(caller: Caller, request: OfferAgreementRequest, call: CallContext): Promise<Answer<OfferAgreementResponse>>;
  /**
   * Adds the signature of who proposes it: a drafted agreement becomes offered, or active when it is a counter-offer
   * that only narrows an offer and the other side's signature over that offer accepts such ahead.
   */
  sign(caller: Caller, request: SignAgreementRequest, call: CallContext): Promise<Answer<SignAgreementResponse>>;
  /** Accepts an offer with the signature of the side that did not propose it: it becomes active. */
  accept(caller: Caller, request: AcceptAgreementRequest, call: CallContext): Promise<Answer<AcceptAgreementResponse>>;
  /** Answers an offer with other terms; accepted automatically only if they refine the offer, else offered to the other side. */
  counter(caller: Caller, request: CounterAgreementRequest, call: CallContext): Promise<Answer<CounterAgreementResponse>>;
  /** Lists the agreements that the caller is a party to (or all, for an auditor). */
  list(caller: Caller, request: ListAgreementsRequest, call: CallContext): Promise<Answer<ListAgreementsResponse>>;
  /** Reads one agreement. */
  get(caller: Caller, request: GetAgreementRequest, call: CallContext): Promise<Answer<GetAgreementResponse>>;
  /** Suspends: running jobs stop within a second and nothing of them leaves. */
  suspend(caller: Caller, request: SuspendAgreementRequest, call: CallContext): Promise<Answer<SuspendAgreementResponse>>;
  /** Resumes a suspended agreement; only the party that suspended it may. */
  resume(caller: Caller, request: ResumeAgreementRequest, call: CallContext): Promise<Answer<ResumeAgreementResponse>>;
  /** Ends an agreement for good. */
  terminate(caller: Caller, request: TerminateAgreementRequest, call: CallContext): Promise<Answer<TerminateAgreementResponse>>;
  /** Says that a duty is fulfilled: the consumer for what it has to do itself, the provider for any. */
  fulfil(caller: Caller, request: FulfilDutyRequest, call: CallContext): Promise<Answer<FulfilDutyResponse>>;
  /** Objects to an agreement, a bill or a job: settlement is frozen and jobs are flagged until it is resolved. */
  openDispute(caller: Caller, request: OpenDisputeRequest, call: CallContext): Promise<Answer<OpenDisputeResponse>>;
  /** Ends a dispute: who opened it withdraws it, an operator decides it. Its history stays. */
  resolveDispute(caller: Caller, request: ResolveDisputeRequest, call: CallContext): Promise<Answer<ResolveDisputeResponse>>;
  /** Lists disputes of the caller's agreements (or all, for an operator, auditor or clearing party). */
  listDisputes(caller: Caller, request: ListDisputesRequest, call: CallContext): Promise<Answer<ListDisputesResponse>>;
  /**
   * Names a set of the caller's agreements, so that jobs over datasets of several providers name the project. Without
   * agreements it is removed.
   */
  saveProject(caller: Caller, request: SaveProjectRequest, call: CallContext): Promise<Answer<SaveProjectResponse>>;
  /** Lists the caller's projects. */
  listProjects(caller: Caller, request: ListProjectsRequest, call: CallContext): Promise<Answer<ListProjectsResponse>>;
}

/** Contracts of providers and consumers. The content is immutable; no job runs without an active agreement. */
export interface AgreementServiceClient {
  /** Lays out an offer of a policy version to a party. The answer holds the content to sign; it is drafted until signed. */
  offer(request: Init<OfferAgreementRequest>, options?: CallOptions): Promise<OfferAgreementResponse>;
  /**
   * Adds the signature of who proposes it: a drafted agreement becomes offered, or active when it is a counter-offer
   * that only narrows an offer and the other side's signature over that offer accepts such ahead.
   */
  sign(request: Init<SignAgreementRequest>, options?: CallOptions): Promise<SignAgreementResponse>;
  /** Accepts an offer with the signature of the side that did not propose it: it becomes active. */
  accept(request: Init<AcceptAgreementRequest>, options?: CallOptions): Promise<AcceptAgreementResponse>;
  /** Answers an offer with other terms; accepted automatically only if they refine the offer, else offered to the other side. */
  counter(request: Init<CounterAgreementRequest>, options?: CallOptions): Promise<CounterAgreementResponse>;
  /** Lists the agreements that the caller is a party to (or all, for an auditor). */
  list(request: Init<ListAgreementsRequest>, options?: CallOptions): Promise<ListAgreementsResponse>;
  /** Reads one agreement. */
  get(request: Init<GetAgreementRequest>, options?: CallOptions): Promise<GetAgreementResponse>;
  /** Suspends: running jobs stop within a second and nothing of them leaves. */
  suspend(request: Init<SuspendAgreementRequest>, options?: CallOptions): Promise<SuspendAgreementResponse>;
  /** Resumes a suspended agreement; only the party that suspended it may. */
  resume(request: Init<ResumeAgreementRequest>, options?: CallOptions): Promise<ResumeAgreementResponse>;
  /** Ends an agreement for good. */
  terminate(request: Init<TerminateAgreementRequest>, options?: CallOptions): Promise<TerminateAgreementResponse>;
  /** Says that a duty is fulfilled: the consumer for what it has to do itself, the provider for any. */
  fulfil(request: Init<FulfilDutyRequest>, options?: CallOptions): Promise<FulfilDutyResponse>;
  /** Objects to an agreement, a bill or a job: settlement is frozen and jobs are flagged until it is resolved. */
  openDispute(request: Init<OpenDisputeRequest>, options?: CallOptions): Promise<OpenDisputeResponse>;
  /** Ends a dispute: who opened it withdraws it, an operator decides it. Its history stays. */
  resolveDispute(request: Init<ResolveDisputeRequest>, options?: CallOptions): Promise<ResolveDisputeResponse>;
  /** Lists disputes of the caller's agreements (or all, for an operator, auditor or clearing party). */
  listDisputes(request: Init<ListDisputesRequest>, options?: CallOptions): Promise<ListDisputesResponse>;
  /**
   * Names a set of the caller's agreements, so that jobs over datasets of several providers name the project. Without
   * agreements it is removed.
   */
  saveProject(request: Init<SaveProjectRequest>, options?: CallOptions): Promise<SaveProjectResponse>;
  /** Lists the caller's projects. */
  listProjects(request: Init<ListProjectsRequest>, options?: CallOptions): Promise<ListProjectsResponse>;
}

/** What is spent and what is left. A new policy version never refills a budget. */
export interface BudgetServiceHandlers {
  /** Reads the budget of a dataset for a consumer. */
  get(caller: Caller, request: GetBudgetRequest, call: CallContext): Promise<Answer<GetBudgetResponse>>;
  /** Lists budgets that the caller may know of. */
  list(caller: Caller, request: ListBudgetsRequest, call: CallContext): Promise<Answer<ListBudgetsResponse>>;
  /** Enlarges a budget once. Only the provider of the dataset may, with a signed order. */
  grant(caller: Caller, request: GrantBudgetRequest, call: CallContext): Promise<Answer<GrantBudgetResponse>>;
}

/** What is spent and what is left. A new policy version never refills a budget. */
export interface BudgetServiceClient {
  /** Reads the budget of a dataset for a consumer. */
  get(request: Init<GetBudgetRequest>, options?: CallOptions): Promise<GetBudgetResponse>;
  /** Lists budgets that the caller may know of. */
  list(request: Init<ListBudgetsRequest>, options?: CallOptions): Promise<ListBudgetsResponse>;
  /** Enlarges a budget once. Only the provider of the dataset may, with a signed order. */
  grant(request: Init<GrantBudgetRequest>, options?: CallOptions): Promise<GrantBudgetResponse>;
}

/** The catalogue of datasets. Consumers see schema and policy of what they have an agreement for or an offer of; never rows. */
export interface CatalogServiceHandlers {
  /** Uploads files and registers them as a new dataset version; answers progress and, last, the dataset. Providers only. */
  registerDataset(caller: Caller, request: AsyncIterable<RegisterDatasetRequest>, call: CallContext): AsyncIterable<RegisterDatasetResponse>;
  /** Lists the datasets that the caller may know of. */
  list(caller: Caller, request: ListDatasetsRequest, call: CallContext): Promise<Answer<ListDatasetsResponse>>;
  /** Reads one dataset. */
  get(caller: Caller, request: GetDatasetRequest, call: CallContext): Promise<Answer<GetDatasetResponse>>;
  /** Reads every byte again and compares with the registered digests; streams progress. Providers and auditors. */
  verify(caller: Caller, request: VerifyDatasetRequest, call: CallContext): AsyncIterable<VerifyDatasetResponse>;
  /**
   * Streams a synthetic twin as Arrow IPC: the same schema, no information from rows beyond what the policy publishes and
   * the noisy answers that the caller names, which were released to it before.
   */
  twin(caller: Caller, request: TwinDatasetRequest, call: CallContext): AsyncIterable<TwinDatasetResponse>;
  /** Says how sensitive a dataset is, having been shown what recognition proposes. Its provider's word alone, on record. */
  grade(caller: Caller, request: GradeDatasetRequest, call: CallContext): Promise<Answer<GradeDatasetResponse>>;
  /**
   * Names who keeps a dataset for its provider, or ends that. The custodian registers new versions of it, verifies it and
   * deletes what a duty says; it attaches no policy, concludes no agreement and is given no result. Its provider only.
   */
  setCustodian(caller: Caller, request: SetCustodianRequest, call: CallContext): Promise<Answer<SetCustodianResponse>>;
}

/** The catalogue of datasets. Consumers see schema and policy of what they have an agreement for or an offer of; never rows. */
export interface CatalogServiceClient {
  /** Uploads files and registers them as a new dataset version; answers progress and, last, the dataset. Providers only. */
  registerDataset(request: AsyncIterable<Init<RegisterDatasetRequest>> | Iterable<Init<RegisterDatasetRequest>>, options?: CallOptions): AsyncIterable<RegisterDatasetResponse>;
  /** Lists the datasets that the caller may know of. */
  list(request: Init<ListDatasetsRequest>, options?: CallOptions): Promise<ListDatasetsResponse>;
  /** Reads one dataset. */
  get(request: Init<GetDatasetRequest>, options?: CallOptions): Promise<GetDatasetResponse>;
  /** Reads every byte again and compares with the registered digests; streams progress. Providers and auditors. */
  verify(request: Init<VerifyDatasetRequest>, options?: CallOptions): AsyncIterable<VerifyDatasetResponse>;
  /**
   * Streams a synthetic twin as Arrow IPC: the same schema, no information from rows beyond what the policy publishes and
   * the noisy answers that the caller names, which were released to it before.
   */
  twin(request: Init<TwinDatasetRequest>, options?: CallOptions): AsyncIterable<TwinDatasetResponse>;
  /** Says how sensitive a dataset is, having been shown what recognition proposes. Its provider's word alone, on record. */
  grade(request: Init<GradeDatasetRequest>, options?: CallOptions): Promise<GradeDatasetResponse>;
  /**
   * Names who keeps a dataset for its provider, or ends that. The custodian registers new versions of it, verifies it and
   * deletes what a duty says; it attaches no policy, concludes no agreement and is given no result. Its provider only.
   */
  setCustodian(request: Init<SetCustodianRequest>, options?: CallOptions): Promise<SetCustodianResponse>;
}

/** Submission, review and approval of code by digest. */
export interface CodeServiceHandlers {
  /** Submits code for approval. */
  submit(caller: Caller, request: SubmitCodeRequest, call: CallContext): Promise<Answer<SubmitCodeResponse>>;
  /** Reads code with the difference to the last approved version. Reviewers and the submitter. */
  review(caller: Caller, request: ReviewCodeRequest, call: CallContext): Promise<Answer<ReviewCodeResponse>>;
  /** Approves a digest; never the submitter's own. */
  approve(caller: Caller, request: ApproveCodeRequest, call: CallContext): Promise<Answer<ApproveCodeResponse>>;
  /** Rejects a digest. */
  reject(caller: Caller, request: RejectCodeRequest, call: CallContext): Promise<Answer<RejectCodeResponse>>;
  /** Takes an approval back; running jobs with the code stop. */
  revoke(caller: Caller, request: RevokeCodeRequest, call: CallContext): Promise<Answer<RevokeCodeResponse>>;
  /** Lists code that the caller may know of. */
  list(caller: Caller, request: ListCodeRequest, call: CallContext): Promise<Answer<ListCodeResponse>>;
}

/** Submission, review and approval of code by digest. */
export interface CodeServiceClient {
  /** Submits code for approval. */
  submit(request: Init<SubmitCodeRequest>, options?: CallOptions): Promise<SubmitCodeResponse>;
  /** Reads code with the difference to the last approved version. Reviewers and the submitter. */
  review(request: Init<ReviewCodeRequest>, options?: CallOptions): Promise<ReviewCodeResponse>;
  /** Approves a digest; never the submitter's own. */
  approve(request: Init<ApproveCodeRequest>, options?: CallOptions): Promise<ApproveCodeResponse>;
  /** Rejects a digest. */
  reject(request: Init<RejectCodeRequest>, options?: CallOptions): Promise<RejectCodeResponse>;
  /** Takes an approval back; running jobs with the code stop. */
  revoke(request: Init<RevokeCodeRequest>, options?: CallOptions): Promise<RevokeCodeResponse>;
  /** Lists code that the caller may know of. */
  list(request: Init<ListCodeRequest>, options?: CallOptions): Promise<ListCodeResponse>;
}

/** The append-only Merkle log in C2SP tlog-tiles form. Entries hold digests and pseudonyms only. */
export interface EvidenceServiceHandlers {
  /** Reads the receipt of a job or of a log index, with an inclusion proof to a signed checkpoint. */
  getReceipt(caller: Caller, request: GetReceiptRequest, call: CallContext): Promise<Answer<GetReceiptResponse>>;
  /** Reads the newest signed checkpoint. */
  getCheckpoint(caller: Caller, request: GetCheckpointRequest, call: CallContext): Promise<Answer<GetCheckpointResponse>>;
  /** Lists entries in log order: a party's own, all for an auditor. */
  listEntries(caller: Caller, request: ListEntriesRequest, call: CallContext): Promise<Answer<ListEntriesResponse>>;
  /** Streams the evidence as a tar archive that verifies offline. Auditors and operators; parties get their own part. */
  export(caller: Caller, request: ExportEvidenceRequest, call: CallContext): AsyncIterable<ExportEvidenceResponse>;
  /** Verifies a receipt against this log; the same check works offline with the public key alone. */
  verify(caller: Caller, request: VerifyReceiptRequest, call: CallContext): Promise<Answer<VerifyReceiptResponse>>;
}

/** The append-only Merkle log in C2SP tlog-tiles form. Entries hold digests and pseudonyms only. */
export interface EvidenceServiceClient {
  /** Reads the receipt of a job or of a log index, with an inclusion proof to a signed checkpoint. */
  getReceipt(request: Init<GetReceiptRequest>, options?: CallOptions): Promise<GetReceiptResponse>;
  /** Reads the newest signed checkpoint. */
  getCheckpoint(request: Init<GetCheckpointRequest>, options?: CallOptions): Promise<GetCheckpointResponse>;
  /** Lists entries in log order: a party's own, all for an auditor. */
  listEntries(request: Init<ListEntriesRequest>, options?: CallOptions): Promise<ListEntriesResponse>;
  /** Streams the evidence as a tar archive that verifies offline. Auditors and operators; parties get their own part. */
  export(request: Init<ExportEvidenceRequest>, options?: CallOptions): AsyncIterable<ExportEvidenceResponse>;
  /** Verifies a receipt against this log; the same check works offline with the public key alone. */
  verify(request: Init<VerifyReceiptRequest>, options?: CallOptions): Promise<VerifyReceiptResponse>;
}

/** Computing on ciphertext. Uploads are chunked, resumable and named by digest. */
export interface HomomorphicServiceHandlers {
  /** Uploads a key, an encrypted column or an encrypted query; answers progress and, last, the stored object. */
  upload(caller: Caller, request: AsyncIterable<UploadCiphertextRequest>, call: CallContext): AsyncIterable<UploadCiphertextResponse>;
  /** Says how many bytes of an interrupted upload are already stored. */
  getUpload(caller: Caller, request: GetUploadRequest, call: CallContext): Promise<Answer<GetUploadResponse>>;
  /** Runs a program as a job, waits, and streams the encrypted result. */
  run(caller: Caller, request: RunHomomorphicRequest, call: CallContext): AsyncIterable<RunHomomorphicResponse>;
  /** Chooses parameters for a program and explains them; computes nothing. */
  chooseParameters(caller: Caller, request: ChooseParametersRequest, call: CallContext): Promise<Answer<ChooseParametersResponse>>;
  /** Lists stored keys and ciphertexts of the caller. */
  list(caller: Caller, request: ListCiphertextsRequest, call: CallContext): Promise<Answer<ListCiphertextsResponse>>;
  /** Revokes a key: nothing is computed under it any more. */
  revokeKey(caller: Caller, request: RevokeKeyRequest, call: CallContext): Promise<Answer<RevokeKeyResponse>>;
  /** Registers uploaded columns as a dataset, or as its next version; its columns are ciphertext. */
  registerEncrypted(caller: Caller, request: RegisterEncryptedRequest, call: CallContext): Promise<Answer<RegisterEncryptedResponse>>;
  /** Says where the key holder's decryptor of a dataset is reached, and by which certificate it is known. */
  setDecryptor(caller: Caller, request: SetDecryptorRequest, call: CallContext): Promise<Answer<SetDecryptorResponse>>;
  /**
   * Sends a stored column that another provider encrypted under the caller's key, as it was uploaded: for the key
   * holder's decryptor, which runs every program again over its own copy.
   */
  fetch(caller: Caller, request: FetchCiphertextRequest, call: CallContext): AsyncIterable<FetchCiphertextResponse>;
  /** Takes back a column that the caller contributed to another provider's dataset: nothing is computed on it any more. */
  withdraw(caller: Caller, request: WithdrawColumnRequest, call: CallContext): Promise<Answer<WithdrawColumnResponse>>;
  /** The public key under which this runtime signs transcripts. */
  getTranscriptKey(caller: Caller, request: GetTranscriptKeyRequest, call: CallContext): Promise<Answer<GetTranscriptKeyResponse>>;
}

/** Computing on ciphertext. Uploads are chunked, resumable and named by digest. */
export interface HomomorphicServiceClient {
  /** Uploads a key, an encrypted column or an encrypted query; answers progress and, last, the stored object. */
  upload(request: AsyncIterable<Init<UploadCiphertextRequest>> | Iterable<Init<UploadCiphertextRequest>>, options?: CallOptions): AsyncIterable<UploadCiphertextResponse>;
  /** Says how many bytes of an interrupted upload are already stored. */
  getUpload(request: Init<GetUploadRequest>, options?: CallOptions): Promise<GetUploadResponse>;
  /** Runs a program as a job, waits, and streams the encrypted result. */
  run(request: Init<RunHomomorphicRequest>, options?: CallOptions): AsyncIterable<RunHomomorphicResponse>;
  /** Chooses parameters for a program and explains them; computes nothing. */
  chooseParameters(request: Init<ChooseParametersRequest>, options?: CallOptions): Promise<ChooseParametersResponse>;
  /** Lists stored keys and ciphertexts of the caller. */
  list(request: Init<ListCiphertextsRequest>, options?: CallOptions): Promise<ListCiphertextsResponse>;
  /** Revokes a key: nothing is computed under it any more. */
  revokeKey(request: Init<RevokeKeyRequest>, options?: CallOptions): Promise<RevokeKeyResponse>;
  /** Registers uploaded columns as a dataset, or as its next version; its columns are ciphertext. */
  registerEncrypted(request: Init<RegisterEncryptedRequest>, options?: CallOptions): Promise<RegisterEncryptedResponse>;
  /** Says where the key holder's decryptor of a dataset is reached, and by which certificate it is known. */
  setDecryptor(request: Init<SetDecryptorRequest>, options?: CallOptions): Promise<SetDecryptorResponse>;
  /**
   * Sends a stored column that another provider encrypted under the caller's key, as it was uploaded: for the key
   * holder's decryptor, which runs every program again over its own copy.
   */
  fetch(request: Init<FetchCiphertextRequest>, options?: CallOptions): AsyncIterable<FetchCiphertextResponse>;
  /** Takes back a column that the caller contributed to another provider's dataset: nothing is computed on it any more. */
  withdraw(request: Init<WithdrawColumnRequest>, options?: CallOptions): Promise<WithdrawColumnResponse>;
  /** The public key under which this runtime signs transcripts. */
  getTranscriptKey(request: Init<GetTranscriptKeyRequest>, options?: CallOptions): Promise<GetTranscriptKeyResponse>;
}

/** What code can run in. */
export interface ImageServiceHandlers {
  /** Lists images. */
  list(caller: Caller, request: ListImagesRequest, call: CallContext): Promise<Answer<ListImagesResponse>>;
  /** Reads one image. */
  get(caller: Caller, request: GetImageRequest, call: CallContext): Promise<Answer<GetImageResponse>>;
}

/** What code can run in. */
export interface ImageServiceClient {
  /** Lists images. */
  list(request: Init<ListImagesRequest>, options?: CallOptions): Promise<ListImagesResponse>;
  /** Reads one image. */
  get(request: Init<GetImageRequest>, options?: CallOptions): Promise<GetImageResponse>;
}

/**
 * Runs computations of consumers. Results are fetched with the ticket over Arrow Flight `DoGet`; a small one can come with the
 * answer to Submit.
 */
export interface JobServiceHandlers {
  /** Takes a job in, and answers at once or, with `wait`, when the job has ended. A denied job is an OK answer with reasons. */
  submit(caller: Caller, request: SubmitJobRequest, call: CallContext): Promise<Answer<SubmitJobResponse>>;
  /** Reads one job of the caller (or any, for an auditor). */
  get(caller: Caller, request: GetJobRequest, call: CallContext): Promise<Answer<GetJobResponse>>;
  /** Lists the caller's jobs, newest first. */
  list(caller: Caller, request: ListJobsRequest, call: CallContext): Promise<Answer<ListJobsResponse>>;
  /** Streams the job each time its state or progress changes; ends after the final state. */
  watch(caller: Caller, request: WatchJobRequest, call: CallContext): AsyncIterable<WatchJobResponse>;
  /** Stops a job; nothing of it leaves afterwards. Cancelling an ended job changes nothing. */
  cancel(caller: Caller, request: CancelJobRequest, call: CallContext): Promise<Answer<CancelJobResponse>>;
  /** Says what would happen: verdict, rules, enforced form, predicted error, price, budget. Costs nothing, reads no row. */
  explain(caller: Caller, request: ExplainJobRequest, call: CallContext): Promise<Answer<ExplainJobResponse>>;
  /** Runs sandboxed code on a synthetic twin of its table, and tells everything: errors, console, result. Reads no row. */
  debug(caller: Caller, request: DebugJobRequest, call: CallContext): Promise<Answer<DebugJobResponse>>;
}

/**
 * Runs computations of consumers. Results are fetched with the ticket over Arrow Flight `DoGet`; a small one can come with the
 * answer to Submit.
 */
export interface JobServiceClient {
  /** Takes a job in, and answers at once or, with `wait`, when the job has ended. A denied job is an OK answer with reasons. */
  submit(request: Init<SubmitJobRequest>, options?: CallOptions): Promise<SubmitJobResponse>;
  /** Reads one job of the caller (or any, for an auditor). */
  get(request: Init<GetJobRequest>, options?: CallOptions): Promise<GetJobResponse>;
  /** Lists the caller's jobs, newest first. */
  list(request: Init<ListJobsRequest>, options?: CallOptions): Promise<ListJobsResponse>;
  /** Streams the job each time its state or progress changes; ends after the final state. */
  watch(request: Init<WatchJobRequest>, options?: CallOptions): AsyncIterable<WatchJobResponse>;
  /** Stops a job; nothing of it leaves afterwards. Cancelling an ended job changes nothing. */
  cancel(request: Init<CancelJobRequest>, options?: CallOptions): Promise<CancelJobResponse>;
  /** Says what would happen: verdict, rules, enforced form, predicted error, price, budget. Costs nothing, reads no row. */
  explain(request: Init<ExplainJobRequest>, options?: CallOptions): Promise<ExplainJobResponse>;
  /** Runs sandboxed code on a synthetic twin of its table, and tells everything: errors, console, result. Reads no row. */
  debug(request: Init<DebugJobRequest>, options?: CallOptions): Promise<DebugJobResponse>;
}

/** Usage and charges, exact to the smallest unit and equal to the evidence log. */
export interface MeterServiceHandlers {
  /** Sums usage and charges of a period. */
  report(caller: Caller, request: ReportMeterRequest, call: CallContext): Promise<Answer<ReportMeterResponse>>;
  /**
   * Compares the usage events with the evidence log: each released job has one event, the one whose digest was logged,
   * and the charges add up to those in the log. Operators, auditors and clearing only.
   */
  check(caller: Caller, request: CheckMeterRequest, call: CallContext): Promise<Answer<CheckMeterResponse>>;
  /** Adds prepaid credit, once, by a signed order of the agreement's provider or of a clearing party. */
  topUp(caller: Caller, request: TopUpCreditRequest, call: CallContext): Promise<Answer<TopUpCreditResponse>>;
  /** Splits what consumers paid among providers. Shares tell something of every provider: operators and clearing only. */
  split(caller: Caller, request: SplitRevenueRequest, call: CallContext): Promise<Answer<SplitRevenueResponse>>;
  /** Closes a statement: what it says is final. Refused while a dispute is open. The provider, or clearing. */
  settle(caller: Caller, request: SettleRequest, call: CallContext): Promise<Answer<SettleResponse>>;
}

/** Usage and charges, exact to the smallest unit and equal to the evidence log. */
export interface MeterServiceClient {
  /** Sums usage and charges of a period. */
  report(request: Init<ReportMeterRequest>, options?: CallOptions): Promise<ReportMeterResponse>;
  /**
   * Compares the usage events with the evidence log: each released job has one event, the one whose digest was logged,
   * and the charges add up to those in the log. Operators, auditors and clearing only.
   */
  check(request: Init<CheckMeterRequest>, options?: CallOptions): Promise<CheckMeterResponse>;
  /** Adds prepaid credit, once, by a signed order of the agreement's provider or of a clearing party. */
  topUp(request: Init<TopUpCreditRequest>, options?: CallOptions): Promise<TopUpCreditResponse>;
  /** Splits what consumers paid among providers. Shares tell something of every provider: operators and clearing only. */
  split(request: Init<SplitRevenueRequest>, options?: CallOptions): Promise<SplitRevenueResponse>;
  /** Closes a statement: what it says is final. Refused while a dispute is open. The provider, or clearing. */
  settle(request: Init<SettleRequest>, options?: CallOptions): Promise<SettleResponse>;
}

/** For operators; providers throw the switch of their own datasets and agreements. */
export interface OperatorServiceHandlers {
  /** Kill switch: stops every job in its scope at once; nothing leaves after the answered log index. Lasts until Resume. */
  stopAll(caller: Caller, request: StopAllRequest, call: CallContext): Promise<Answer<StopAllResponse>>;
  /** Lets jobs in again after StopAll. */
  resumeAll(caller: Caller, request: ResumeAllRequest, call: CallContext): Promise<Answer<ResumeAllResponse>>;
  /** Says how the runtime is: what this machine gives, what is missing and how to get it. */
  status(caller: Caller, request: StatusRequest, call: CallContext): Promise<Answer<StatusResponse>>;
  /** Takes no new jobs, lets running ones end inside the deadline, then stops the server. */
  drain(caller: Caller, request: DrainRequest, call: CallContext): Promise<Answer<DrainResponse>>;
  /** Puts a list in force of what may not leave which jurisdictions; only a later version of the same list replaces it. */
  setExportList(caller: Caller, request: SetExportListRequest, call: CallContext): Promise<Answer<SetExportListResponse>>;
  /** The list in force. */
  getExportList(caller: Caller, request: GetExportListRequest, call: CallContext): Promise<Answer<GetExportListResponse>>;
  /** What the risk detectors found, newest first: all for operators and auditors, providers see what is about their data. */
  listAlerts(caller: Caller, request: ListAlertsRequest, call: CallContext): Promise<Answer<ListAlertsResponse>>;
  /** Says that somebody has looked at an alert. */
  acknowledgeAlert(caller: Caller, request: AcknowledgeAlertRequest, call: CallContext): Promise<Answer<AcknowledgeAlertResponse>>;
  /**
   * Copies the state, as it is at one moment, to `backups/state.db` in the data directory, for `glovebox backup` on the
   * same machine. One at a time; the copy before is replaced. Goes into evidence.
   */
  backup(caller: Caller, request: BackupRequest, call: CallContext): Promise<Answer<BackupResponse>>;
}

/** For operators; providers throw the switch of their own datasets and agreements. */
export interface OperatorServiceClient {
  /** Kill switch: stops every job in its scope at once; nothing leaves after the answered log index. Lasts until Resume. */
  stopAll(request: Init<StopAllRequest>, options?: CallOptions): Promise<StopAllResponse>;
  /** Lets jobs in again after StopAll. */
  resumeAll(request: Init<ResumeAllRequest>, options?: CallOptions): Promise<ResumeAllResponse>;
  /** Says how the runtime is: what this machine gives, what is missing and how to get it. */
  status(request: Init<StatusRequest>, options?: CallOptions): Promise<StatusResponse>;
  /** Takes no new jobs, lets running ones end inside the deadline, then stops the server. */
  drain(request: Init<DrainRequest>, options?: CallOptions): Promise<DrainResponse>;
  /** Puts a list in force of what may not leave which jurisdictions; only a later version of the same list replaces it. */
  setExportList(request: Init<SetExportListRequest>, options?: CallOptions): Promise<SetExportListResponse>;
  /** The list in force. */
  getExportList(request: Init<GetExportListRequest>, options?: CallOptions): Promise<GetExportListResponse>;
  /** What the risk detectors found, newest first: all for operators and auditors, providers see what is about their data. */
  listAlerts(request: Init<ListAlertsRequest>, options?: CallOptions): Promise<ListAlertsResponse>;
  /** Says that somebody has looked at an alert. */
  acknowledgeAlert(request: Init<AcknowledgeAlertRequest>, options?: CallOptions): Promise<AcknowledgeAlertResponse>;
  /**
   * Copies the state, as it is at one moment, to `backups/state.db` in the data directory, for `glovebox backup` on the
   * same machine. One at a time; the copy before is replaced. Goes into evidence.
   */
  backup(request: Init<BackupRequest>, options?: CallOptions): Promise<BackupResponse>;
}

/** Admitted participants. A party is what its certificate proves, never a name in a header. */
export interface PartyServiceHandlers {
  /** Admits a party and issues its credential; the private keys are in the answer and are not kept. Operators only. */
  add(caller: Caller, request: AddPartyRequest, call: CallContext): Promise<Answer<AddPartyResponse>>;
  /** Lists parties. Operators and auditors see all, others the parties of their agreements. */
  list(caller: Caller, request: ListPartiesRequest, call: CallContext): Promise<Answer<ListPartiesResponse>>;
  /** Admits a party that has applied. Operators only. */
  admit(caller: Caller, request: AdmitPartyRequest, call: CallContext): Promise<Answer<AdmitPartyResponse>>;
  /**
   * Lets a party leave for good: its credential stops working, its jobs stop, its agreements as a consumer end. Operators,
   * or the party itself.
   */
  exit(caller: Caller, request: ExitPartyRequest, call: CallContext): Promise<Answer<ExitPartyResponse>>;
  /**
   * Erases a party that has left: its salt, certificates, groups, place, notes and alerts. The log keeps its entries, which
   * nobody can tell to be its own any more, and receipts verify as before. Operators only.
   */
  erase(caller: Caller, request: ErasePartyRequest, call: CallContext): Promise<Answer<ErasePartyResponse>>;
  /** Takes a signed, time-bounded mandate: the delegate may submit jobs for who signed it; results go to who signed it. */
  grantMandate(caller: Caller, request: GrantMandateRequest, call: CallContext): Promise<Answer<GrantMandateResponse>>;
  /** Ends a mandate at once; jobs under it stop and nothing of them leaves. Who gave it, its delegate, or an operator. */
  revokeMandate(caller: Caller, request: RevokeMandateRequest, call: CallContext): Promise<Answer<RevokeMandateResponse>>;
  /** Lists mandates that the caller gave or holds (or all, for an operator or auditor). */
  listMandates(caller: Caller, request: ListMandatesRequest, call: CallContext): Promise<Answer<ListMandatesResponse>>;
  /** Suspends a party: its credential stops working at once and its jobs stop. Operators only. */
  suspend(caller: Caller, request: SuspendPartyRequest, call: CallContext): Promise<Answer<SuspendPartyResponse>>;
  /** Resumes a suspended party. Operators only. */
  resume(caller: Caller, request: ResumePartyRequest, call: CallContext): Promise<Answer<ResumePartyResponse>>;
  /** Says who the caller is. */
  whoAmI(caller: Caller, request: WhoAmIRequest, call: CallContext): Promise<Answer<WhoAmIResponse>>;
  /**
   * Issues a new credential to the caller (or, for an operator, to a party); older ones open connections until they expire,
   * or end now with `revoke_old`; what a party signs takes the key of the newest.
   */
  renew(caller: Caller, request: RenewPartyRequest, call: CallContext): Promise<Answer<RenewPartyResponse>>;
  /** Puts another runtime on the trust list: its parties can be recognised, and its receipts. Operators. */
  trust(caller: Caller, request: TrustRequest, call: CallContext): Promise<Answer<TrustResponse>>;
  /** Takes a runtime off the trust list: its parties are suspended and their jobs stopped. Operators. */
  revokeTrust(caller: Caller, request: RevokeTrustRequest, call: CallContext): Promise<Answer<RevokeTrustResponse>>;
  /** The trust list. Operators, auditors and providers. */
  listTrust(caller: Caller, request: ListTrustRequest, call: CallContext): Promise<Answer<ListTrustResponse>>;
  /** Admits a party that another runtime certified, by the introduction that it signed. Operators. */
  recognise(caller: Caller, request: RecogniseRequest, call: CallContext): Promise<Answer<RecogniseResponse>>;
}

/** Admitted participants. A party is what its certificate proves, never a name in a header. */
export interface PartyServiceClient {
  /** Admits a party and issues its credential; the private keys are in the answer and are not kept. Operators only. */
  add(request: Init<AddPartyRequest>, options?: CallOptions): Promise<AddPartyResponse>;
  /** Lists parties. Operators and auditors see all, others the parties of their agreements. */
  list(request: Init<ListPartiesRequest>, options?: CallOptions): Promise<ListPartiesResponse>;
  /** Admits a party that has applied. Operators only. */
  admit(request: Init<AdmitPartyRequest>, options?: CallOptions): Promise<AdmitPartyResponse>;
  /**
   * Lets a party leave for good: its credential stops working, its jobs stop, its agreements as a consumer end. Operators,
   * or the party itself.
   */
  exit(request: Init<ExitPartyRequest>, options?: CallOptions): Promise<ExitPartyResponse>;
  /**
   * Erases a party that has left: its salt, certificates, groups, place, notes and alerts. The log keeps its entries, which
   * nobody can tell to be its own any more, and receipts verify as before. Operators only.
   */
  erase(request: Init<ErasePartyRequest>, options?: CallOptions): Promise<ErasePartyResponse>;
  /** Takes a signed, time-bounded mandate: the delegate may submit jobs for who signed it; results go to who signed it. */
  grantMandate(request: Init<GrantMandateRequest>, options?: CallOptions): Promise<GrantMandateResponse>;
  /** Ends a mandate at once; jobs under it stop and nothing of them leaves. Who gave it, its delegate, or an operator. */
  revokeMandate(request: Init<RevokeMandateRequest>, options?: CallOptions): Promise<RevokeMandateResponse>;
  /** Lists mandates that the caller gave or holds (or all, for an operator or auditor). */
  listMandates(request: Init<ListMandatesRequest>, options?: CallOptions): Promise<ListMandatesResponse>;
  /** Suspends a party: its credential stops working at once and its jobs stop. Operators only. */
  suspend(request: Init<SuspendPartyRequest>, options?: CallOptions): Promise<SuspendPartyResponse>;
  /** Resumes a suspended party. Operators only. */
  resume(request: Init<ResumePartyRequest>, options?: CallOptions): Promise<ResumePartyResponse>;
  /** Says who the caller is. */
  whoAmI(request: Init<WhoAmIRequest>, options?: CallOptions): Promise<WhoAmIResponse>;
  /**
   * Issues a new credential to the caller (or, for an operator, to a party); older ones open connections until they expire,
   * or end now with `revoke_old`; what a party signs takes the key of the newest.
   */
  renew(request: Init<RenewPartyRequest>, options?: CallOptions): Promise<RenewPartyResponse>;
  /** Puts another runtime on the trust list: its parties can be recognised, and its receipts. Operators. */
  trust(request: Init<TrustRequest>, options?: CallOptions): Promise<TrustResponse>;
  /** Takes a runtime off the trust list: its parties are suspended and their jobs stopped. Operators. */
  revokeTrust(request: Init<RevokeTrustRequest>, options?: CallOptions): Promise<RevokeTrustResponse>;
  /** The trust list. Operators, auditors and providers. */
  listTrust(request: Init<ListTrustRequest>, options?: CallOptions): Promise<ListTrustResponse>;
  /** Admits a party that another runtime certified, by the introduction that it signed. Operators. */
  recognise(request: Init<RecogniseRequest>, options?: CallOptions): Promise<RecogniseResponse>;
}

/** What providers allow. */
export interface PolicyServiceHandlers {
  /** Checks a document against a dataset without attaching it. */
  check(caller: Caller, request: CheckPolicyRequest, call: CallContext): Promise<Answer<CheckPolicyResponse>>;
  /** Attaches a document as the next version of a dataset's policy. Never refills a budget. Providers only. */
  attach(caller: Caller, request: AttachPolicyRequest, call: CallContext): Promise<Answer<AttachPolicyResponse>>;
  /** Reads a policy version as the caller may see it. */
  get(caller: Caller, request: GetPolicyRequest, call: CallContext): Promise<Answer<GetPolicyResponse>>;
  /** Runs cases {policy, request, expect} through the decision and answers each outcome; reads no row. */
  test(caller: Caller, request: TestPolicyRequest, call: CallContext): Promise<Answer<TestPolicyResponse>>;
  /** Says in words what a policy lets a party ask and what not. */
  explain(caller: Caller, request: ExplainPolicyRequest, call: CallContext): Promise<Answer<ExplainPolicyResponse>>;
  /** Compares two policies term by term; for the provider also says which jobs on record would be decided otherwise. */
  diff(caller: Caller, request: DiffPolicyRequest, call: CallContext): Promise<Answer<DiffPolicyResponse>>;
}

/** What providers allow. */
export interface PolicyServiceClient {
  /** Checks a document against a dataset without attaching it. */
  check(request: Init<CheckPolicyRequest>, options?: CallOptions): Promise<CheckPolicyResponse>;
  /** Attaches a document as the next version of a dataset's policy. Never refills a budget. Providers only. */
  attach(request: Init<AttachPolicyRequest>, options?: CallOptions): Promise<AttachPolicyResponse>;
  /** Reads a policy version as the caller may see it. */
  get(request: Init<GetPolicyRequest>, options?: CallOptions): Promise<GetPolicyResponse>;
  /** Runs cases {policy, request, expect} through the decision and answers each outcome; reads no row. */
  test(request: Init<TestPolicyRequest>, options?: CallOptions): Promise<TestPolicyResponse>;
  /** Says in words what a policy lets a party ask and what not. */
  explain(request: Init<ExplainPolicyRequest>, options?: CallOptions): Promise<ExplainPolicyResponse>;
  /** Compares two policies term by term; for the provider also says which jobs on record would be decided otherwise. */
  diff(request: Init<DiffPolicyRequest>, options?: CallOptions): Promise<DiffPolicyResponse>;
}

/** The caller's own tables. Nobody else sees them, and no provider: jobs of the caller alone can name them. */
export interface TableServiceHandlers {
  /** Uploads one file as a table, in place of an earlier one of that name; answers the table. Consumers only. */
  upload(caller: Caller, request: AsyncIterable<UploadTableRequest>, call: CallContext): AsyncIterable<UploadTableResponse>;
  /** Lists the caller's tables. */
  list(caller: Caller, request: ListTablesRequest, call: CallContext): Promise<Answer<ListTablesResponse>>;
  /** Deletes a table of the caller's: its bytes are gone when this answers. */
  remove(caller: Caller, request: RemoveTableRequest, call: CallContext): Promise<Answer<RemoveTableResponse>>;
}

/** The caller's own tables. Nobody else sees them, and no provider: jobs of the caller alone can name them. */
export interface TableServiceClient {
  /** Uploads one file as a table, in place of an earlier one of that name; answers the table. Consumers only. */
  upload(request: AsyncIterable<Init<UploadTableRequest>> | Iterable<Init<UploadTableRequest>>, options?: CallOptions): AsyncIterable<UploadTableResponse>;
  /** Lists the caller's tables. */
  list(request: Init<ListTablesRequest>, options?: CallOptions): Promise<ListTablesResponse>;
  /** Deletes a table of the caller's: its bytes are gone when this answers. */
  remove(request: Init<RemoveTableRequest>, options?: CallOptions): Promise<RemoveTableResponse>;
}

/** Handlers by service. */
export interface Handlers {
  AgreementService: AgreementServiceHandlers;
  BudgetService: BudgetServiceHandlers;
  CatalogService: CatalogServiceHandlers;
  CodeService: CodeServiceHandlers;
  EvidenceService: EvidenceServiceHandlers;
  HomomorphicService: HomomorphicServiceHandlers;
  ImageService: ImageServiceHandlers;
  JobService: JobServiceHandlers;
  MeterService: MeterServiceHandlers;
  OperatorService: OperatorServiceHandlers;
  PartyService: PartyServiceHandlers;
  PolicyService: PolicyServiceHandlers;
  TableService: TableServiceHandlers;
}

/** Clients by service. */
export interface Clients {
  AgreementService: AgreementServiceClient;
  BudgetService: BudgetServiceClient;
  CatalogService: CatalogServiceClient;
  CodeService: CodeServiceClient;
  EvidenceService: EvidenceServiceClient;
  HomomorphicService: HomomorphicServiceClient;
  ImageService: ImageServiceClient;
  JobService: JobServiceClient;
  MeterService: MeterServiceClient;
  OperatorService: OperatorServiceClient;
  PartyService: PartyServiceClient;
  PolicyService: PolicyServiceClient;
  TableService: TableServiceClient;
}

/** Names of the services of package glovebox.v1. */
export const SERVICE_NAMES: readonly (keyof Handlers)[] = [
  'AgreementService',
  'BudgetService',
  'CatalogService',
  'CodeService',
  'EvidenceService',
  'HomomorphicService',
  'ImageService',
  'JobService',
  'MeterService',
  'OperatorService',
  'PartyService',
  'PolicyService',
  'TableService',
];
