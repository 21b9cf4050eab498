import { createTestMachine } from '@handlerkit/sdk/testing';
import { afterEach, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import { handler } from './handler.ts';

const machine = createTestMachine({ extension });
afterEach(() => machine.remove());

it('greets by name, and shows the password nowhere', async () => {
  const settings = { public: { name: 'Ada' }, protected: { password: 'open sesame' } };
  const { exitCode, status } = await machine.enable(handler, settings);
  expect(exitCode).toBe(0);
  expect(status).toMatchObject({ status: 'success', message: expect.stringContaining('Greeted Ada in ') });
  expect(JSON.stringify(status) + machine.readLog()).not.toContain('open sesame');
});
