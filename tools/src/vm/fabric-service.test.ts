import { describe, expect, it } from 'vitest';
import { AZURE_ENDPOINTS } from '../fabric/fabric-addresses.ts';
import { isListening } from './fabric-service.ts';

describe('a server of the fabric', () => {
  const ROW =
    '   0: 10813FA8:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000';

  it.each([
    ['listens', ROW, true],
    ['is only connected', ROW.replace(' 0A ', ' 01 '), false],
    ['listens on another port', ROW.replace(':0050', ':7F0E'), false],
    ['listens on another address', ROW.replace('10813FA8', 'FEA9FEA9'), false],
    ['is not there', '', false],
  ])('that %s is seen as such', (_, table, expected) => {
    expect(isListening(table, AZURE_ENDPOINTS.wireServer)).toBe(expected);
  });

  it('is told from others by the port', () => {
    expect(isListening(ROW.replace(':0050', ':7F0E'), AZURE_ENDPOINTS.hostPlugin)).toBe(true);
  });
});
