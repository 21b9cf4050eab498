/**
 * The sequence number of a goal state, and `mrseq`, in which a handler keeps the last one that it took on.
 * Source: agent-contract 4.3, 4.4; Custom Script 2.1.19 section 1. `0` is a number like any other; "none" is `undefined`.
 */
import { ContractError } from './json.ts';

/** Number that the agent uses for a handler without settings. Source: EH:_DEFAULT_SEQ_NO; agent-contract 4.1. */
export const NO_SETTINGS_SEQUENCE = 0;

/** Reads the text of `mrseq`; white space around the number is no error. An empty file means "none". */
export function parseSequence(text: string, file: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  const number = Number(trimmed);
  if (!/^\d{1,15}$/.test(trimmed) || !Number.isSafeInteger(number)) {
    throw new ContractError(file, '', 'must hold a whole number from 0 up');
  }
  return number;
}

/** Decimal, without a newline: that is what other handlers and tools read. */
export function formatSequence(sequence: number): string {
  return String(sequence);
}

/** True when the settings of `requested` were taken on before: the same number or an older one. */
export function isProcessed(requested: number, stored: number | undefined): boolean {
  return stored !== undefined && requested <= stored;
}
