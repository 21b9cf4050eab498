/** The error of the tools: what failed, on what, and what to do next, with a code that stays the same between releases. */

export interface ToolErrorOptions {
  /** What the reader can do about it: one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** An error for the person at the terminal. Its texts hold no stack, no secret and no URL query. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: ToolErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}
