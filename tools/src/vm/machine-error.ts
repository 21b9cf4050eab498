/** Errors of the local VM's machine: what failed, on what, and what to do next, with a stable code. */

export type MachineErrorCode =
  | 'vm-folder-not-ours'
  | 'vm-folder-damaged'
  | 'vm-folder-in-use'
  | 'vm-not-found'
  | 'vm-locked'
  | 'vm-other-isolation'
  | 'vm-other-network'
  | 'vm-other-rootfs'
  | 'vm-other-agent'
  | 'vm-overlay-unavailable'
  | 'vm-tool-missing'
  | 'vm-network-failed'
  | 'vm-processes-left';

export class MachineError extends Error {
  override readonly name = 'MachineError';
  readonly code: MachineErrorCode;
  /** What to do next, one sentence or more. */
  readonly hint: string;

  constructor(code: MachineErrorCode, message: string, hint: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}
