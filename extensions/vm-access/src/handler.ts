/**
 * VM Access: gets people back into a VM. Everything is checked and planned before anything is changed; when a step
 * fails, everything is taken back; and the status says of each step what became of it.
 */
import type { HandlerDefinition } from '@handlerkit/sdk';
import { defineHandler } from '@handlerkit/sdk';
import { carryOut } from './carry-out.ts';
import { watchNewAccount } from './new-account.ts';
import { listSteps } from './plan.ts';
import type { Planners } from './planners.ts';
import { PLANNERS } from './planners.ts';
import { misplacedSecrets, readAccessSettings } from './settings.ts';
import { createStepContext } from './step-context.ts';

/**
 * The handler, with what plans its steps. It names no schemas: both halves of the settings are judged together.
 */
export function createAccessHandler(planners: Planners): HandlerDefinition {
  return defineHandler({
    async enable(context) {
      const { host, log, sequence, status, dataFolder } = context;
      for (const secret of misplacedSecrets(context.settings.public)) context.addSecret(secret);
      const settings = readAccessSettings(context.settings.public, context.settings.protected, host.now());
      const stepped = createStepContext(context, await planners.readDistro(host));
      const { account } = settings;
      const { findAccount } = planners;
      const newAccount =
        account === undefined
          ? undefined
          : watchNewAccount({ host, dataFolder, sequence, username: account.username, findAccount });
      const steps = listSteps(stepped.context, settings, newAccount, planners);
      const names = [...new Set(steps.map(({ name }) => name))].join(', ');
      log.event('Informational', 'plan', `asked for: ${names}`);
      try {
        return await carryOut({ steps, stepped, log, status, onBegin: () => newAccount?.note() });
      } finally {
        newAccount?.forget();
      }
    },
  });
}

/** VM Access as it is shipped. */
export const handler = createAccessHandler(PLANNERS);
