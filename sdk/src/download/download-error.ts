/** How a download fails: what an extension needs to choose its own text and code. No text holds more of a URL than its host. */
import { HandlerError } from '../errors.ts';

/**
 * `refused`: the server answered with another status than success. `timeout`: no answer, or silence in the body.
 * `transport`: no connection, an untrusted certificate, a refused redirect. `body`: the body broke off or has the wrong
 * length, or is larger than allowed. `integrity`: a checksum differs. `no-space`: the disk is full. `disk`: the file could
 * not be written for another reason.
 */
export type DownloadFailureKind =
  | 'refused'
  | 'timeout'
  | 'transport'
  | 'body'
  | 'integrity'
  | 'no-space'
  | 'disk';

/** What is known of a download that failed. */
export interface DownloadFailureDetails {
  readonly kind: DownloadFailureKind;
  /** `name[:port]` of the URL that was asked for. */
  readonly host: string;
  /** What went wrong, in a sentence that names the host, not the target. */
  readonly detail: string;
  /** Of a `refused` one. */
  readonly status?: number;
  readonly statusText?: string;
  /** The header `x-ms-request-id`, when it is well-formed. */
  readonly serviceRequestId?: string;
  readonly cause?: unknown;
}

/** A download failed for good. The code is `DOWNLOAD_FAILED`. */
export class DownloadError extends HandlerError {
  readonly kind: DownloadFailureKind;
  readonly host: string;
  readonly detail: string;
  readonly status: number | undefined;
  readonly statusText: string;
  readonly serviceRequestId: string | undefined;

  constructor(target: string, details: DownloadFailureDetails) {
    super('DOWNLOAD_FAILED', `cannot download ${target}: ${details.detail}`, { cause: details.cause });
    this.kind = details.kind;
    this.host = details.host;
    this.detail = details.detail;
    this.status = details.status;
    this.statusText = details.statusText ?? '';
    this.serviceRequestId = details.serviceRequestId;
  }
}
