/** The probe, an extension whose author is careless: it says its secrets wherever it can, and its schema refuses them. */
import type { Canaries, CanaryShape } from './canaries.ts';
import type { SecretSettings } from './secrets-tool.ts';

export interface ProbeCases {
  /** Tells all secrets, then fails. */
  telling(): SecretSettings;
  /** Wrong types and forms in and beside secrets, at several depths. */
  refused(): readonly SecretSettings[];
  /** Steps in the protected half that succeed: they write, run, and report what is secret. */
  working(): SecretSettings;
  /** Tells nothing, and waits until it is ended. */
  waiting(): SecretSettings;
}

export function createProbeCases(canaries: Canaries): ProbeCases {
  const plant = (field: string, shape: CanaryShape = 'ascii'): string =>
    canaries.plant(`probe ${field}`, shape);
  const account = () => ({
    name: plant('account.name', 'utf8'),
    pin: plant('account.pin', 'digits'),
    keys: KEY_SHAPES.map((shape) => plant('account.keys', shape)),
    hosts: {
      first: { token: plant('account.hosts', 'shell') },
      second: { token: plant('account.hosts', 'base64') },
    },
  });
  return {
    telling: () => ({
      protected: { secret: plant('secret', 'quotes'), account: account(), steps: [{ do: 'tell-secret' }] },
    }),
    refused: () => [
      {
        protected: {
          secret: 5,
          account: account(),
          steps: [{ do: plant('step') }, { do: 'report', message: [plant('step')] }],
        },
      },
      {
        protected: {
          account: {
            ...account(),
            pin: plant('account.pin', 'quotes'),
            keys: plant('account.keys', 'lines'),
            hosts: {
              [plant('a key of account.hosts', 'markup')]: {
                token: 'abc',
                [plant('an unknown key', 'shell')]: plant('a value'),
              },
            },
          },
          [plant('an unknown key', 'quotes')]: {
            deep: [plant('the value of an unknown key', 'private key')],
          },
        },
      },
      {
        protected: {
          account: plant('account', 'private key'),
          secret: [plant('secret')],
          steps: plant('steps', 'utf8'),
        },
      },
      { protected: { steps: [{ do: 'end', message: 'fine' }], [plant('an unknown key', 'lines')]: 1 } },
    ],
    working: () => ({
      protected: {
        secret: plant('secret', 'private key'),
        steps: [
          {
            do: 'report',
            message: `at ${plant('step')}`,
            substatus: [
              { name: plant('step'), status: 'transitioning', code: 0, message: plant('step', 'lines') },
            ],
          },
          {
            do: 'log',
            level: 'warn',
            message: plant('step', 'quotes'),
            fields: { field: plant('step', 'backslashes') },
          },
          { do: 'event', message: plant('step', 'markup') },
          { do: 'exec', argv: ['cat'], stdin: plant('step', 'shell') },
          { do: 'end', message: plant('step', 'utf8') },
        ],
      },
    }),
    waiting: () => ({
      protected: {
        secret: plant('secret'),
        account: account(),
        steps: [{ do: 'report', message: plant('step') }, { do: 'wait-for-abort' }],
      },
    }),
  };
}

const KEY_SHAPES: readonly CanaryShape[] = [
  'ascii',
  'quotes',
  'backslashes',
  'markup',
  'lines',
  'private key',
  'short',
  'eight',
  'uuid',
];
