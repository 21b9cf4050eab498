/** What a run does with its steps, whatever they are: order, rollback, substatuses, secrets, and what the platform sees. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HandlerError } from '@handlerkit/sdk';
import { agentHandlerEnvironment, LIB_FOLDER, LOG_FOLDER } from '@handlerkit/sdk/contract';
import type { OperationOutcome, TestMachine } from '@handlerkit/sdk/testing';
import { createTestMachine, encryptProtectedSettings } from '@handlerkit/sdk/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import extension from '../extension.json' with { type: 'json' };
import type { PlannerScript, ScriptedPlanners } from './fixtures/scripted-planners.ts';
import { SCRIPTED_CODE, scriptPlanners } from './fixtures/scripted-planners.ts';
import { createAccessHandler } from './handler.ts';

const PASSWORD = 'canary-password-8c1f';
const KEY = 'ssh-ed25519 AAAAcanary-key-51d2';
/** Everything that can be asked for at once: every title of the scripted steps but removal, restore and check. */
const ALL = {
  protected: { username: 'alice', password: PASSWORD, ssh_key: KEY, reset_ssh: true },
  public: { repair_disk: true, disk_name: 'data' },
};
const TITLES = ['account', 'password', 'sudo', 'reset', 'password login', 'ssh key', 'firewall', 'repair'];
const NAMES = ['account', 'password', 'sudo', 'sshd', 'ssh key', 'firewall', 'disk'];
const nameOf = (title: string): string =>
  ({ reset: 'sshd', 'password login': 'sshd', repair: 'disk' })[title] ?? title;

let machine: TestMachine;
let steps: ScriptedPlanners;
beforeEach(() => {
  machine = createTestMachine({ extension });
});
afterEach(() => machine.remove());

type Settings = Parameters<TestMachine['enable']>[1];
const enable = (
  settings: Settings,
  script: PlannerScript = {},
  options: Parameters<TestMachine['enable']>[2] = {},
): Promise<OperationOutcome> => {
  steps = scriptPlanners(script);
  return machine.enable(createAccessHandler(steps.planners), settings, options);
};
const traced = (verb: string): string[] =>
  steps.trace.filter((line) => line.startsWith(`${verb} `)).map((line) => line.slice(verb.length + 1));
const partsOf = ({ status }: OperationOutcome): Record<string, string> =>
  Object.fromEntries((status?.substatus ?? []).map((part) => [part.name, part.status]));

describe('a run', () => {
  it('plans every step before the first one acts, and tells each in a substatus', async () => {
    const { status, exitCode } = await enable(ALL);
    expect(steps.trace).toEqual([
      ...TITLES.map((title) => `plan ${title}`),
      ...TITLES.map((title) => `act ${title}`),
      ...TITLES.map((title) => `finish ${title}`),
    ]);
    expect([exitCode, status?.status, status?.code]).toEqual([0, 'success', 0]);
    expect(status?.substatus.map(({ name }) => name)).toEqual(NAMES);
    expect(new Set(status?.substatus.map((part) => part.status))).toEqual(new Set(['success']));
    expect(status?.message).toBe(
      `Enable succeeded: ${NAMES.map((name) => {
        const titles = TITLES.filter((title) => nameOf(title) === name);
        return `${name}: ${titles.map((title) => `${title} is right`).join('; ')}`;
      }).join('\n')}`,
    );
  });

  it.each<[string, Settings, readonly string[]]>([
    ['a key', { protected: { username: 'alice', ssh_key: KEY } }, ['account', 'sudo', 'ssh key']],
    [
      'a password',
      { protected: { username: 'alice', password: PASSWORD } },
      ['account', 'password', 'sudo', 'password login'],
    ],
    ['a disk check', { public: { check_disk: 'true' } }, ['check']],
    ['a removal', { protected: { remove_user: 'bob' } }, ['removal']],
    [
      'a removal and a key of another user',
      { protected: { remove_user: 'bob', username: 'alice', ssh_key: KEY } },
      ['removal', 'account', 'sudo', 'ssh key'],
    ],
    ['a restore', { protected: { restore_backup_ssh: true } }, ['restore', 'firewall']],
  ])(
    'for %s touches nothing else, so that sshd is left alone where nobody spoke of it (W29)',
    async (...row) => {
      const [, settings, titles] = row;
      await enable(settings);
      expect(traced('plan')).toEqual(titles);
      expect(traced('act')).toEqual(titles);
    },
  );

  it('gives the steps what the settings say', async () => {
    const hidden = {
      username: 'alice',
      password: PASSWORD,
      ssh_key: KEY,
      expiration: '2030-12-31',
      remove_prior_keys: 'true',
      enable_passwordless_access: 'false',
    };
    await enable({ protected: hidden, public: { repair_disk: true, disk_name: 'mnt/data' } });
    expect(steps.requests.get('account')).toEqual({
      username: 'alice',
      expiration: { text: '2030-12-31', days: 22279 },
      hasKey: true,
      hasPassword: true,
    });
    expect(steps.requests.get('password')).toEqual({ username: 'alice', password: PASSWORD });
    expect(steps.requests.get('sudo')).toMatchObject({ passwordless: false, hasPassword: true });
    expect(steps.requests.get('ssh key')).toMatchObject({
      keys: [{ data: KEY }],
      removePriorKeys: true,
      afterReset: false,
    });
    expect(steps.requests.get('repair')).toBe('mnt/data');
    expect(steps.requests.get('password login')).toEqual({ username: 'alice', afterReset: false });
    await enable({ protected: { ...hidden, reset_ssh: true } }, {}, { sequence: 1 });
    expect(steps.requests.get('password login')).toEqual({ username: 'alice', afterReset: true });
  });

  it('that finds everything as it was asked for says so', async () => {
    const { status } = await enable(ALL, { unchanged: TITLES });
    expect(status?.message).toMatch(
      /^Enable succeeded: nothing had to be changed\naccount: account is right\n/,
    );
    expect(traced('finish')).toEqual([]);
  });

  it('shows a warning in the substatus, and is a success for those who wait for it', async () => {
    const outcome = await enable(ALL, {
      warning: { title: 'firewall', text: 'port 22 is open to the world' },
    });
    expect(outcome.status?.status).toBe('success');
    expect(partsOf(outcome)).toMatchObject({ firewall: 'warning', sshd: 'success' });
    expect(outcome.status?.message).toContain('firewall: firewall is right; Warning: port 22 is open');
  });

  it('tells what it could not clear away in the end', async () => {
    const outcome = await enable(ALL, { failFinish: 'sudo' });
    expect(outcome.status?.status).toBe('success');
    expect(partsOf(outcome)).toMatchObject({ sudo: 'warning', account: 'success' });
    expect(outcome.status?.message).toContain('could not be cleared away: the rest of sudo');
    expect(traced('finish')).toEqual(TITLES);
  });

  it('says while it works how far each step is', async () => {
    const seen: (string | undefined)[] = [];
    await enable(ALL, {
      onAct: async () => {
        const status = machine.readStatus(0);
        seen.push(`${status?.message}: ${status?.substatus.map((part) => part.status[0]).join('')}`);
      },
    });
    expect(seen[0]).toBe('Enable in progress: account: ttttttt');
    expect(seen[4]).toBe('Enable in progress: sshd: ssstttt');
    expect(seen[7]).toBe('Enable in progress: disk: sssssst');
  });
});

describe('a step that fails', () => {
  it.each(TITLES)(
    '(%s) has everything taken back, the last change first, and the status says so',
    async (title) => {
      const outcome = await enable(ALL, { failAct: title });
      const begun = TITLES.slice(0, TITLES.indexOf(title) + 1);
      expect(traced('act')).toEqual(begun);
      expect(traced('undo')).toEqual(begun.toReversed());
      expect(traced('finish')).toEqual([]);
      expect([...steps.changes]).toEqual([]);
      const { status, exitCode, stderr } = outcome;
      expect([exitCode, status?.status, status?.code]).toEqual([9, 'error', SCRIPTED_CODE]);
      expect(status?.message).toBe(
        `Enable failed: ${nameOf(title)}: ${title} failed\nEverything that was changed has been taken back.`,
      );
      expect(stderr).toContain(`${title} failed`);
      expect(status?.substatus[0]).toEqual({
        name: 'ErrorClarification',
        status: 'error',
        code: SCRIPTED_CODE,
        message: 'SCRIPTED',
      });
      expect(status?.substatus.slice(1).map(({ name }) => name)).toEqual(NAMES);
      for (const part of status?.substatus.slice(1) ?? []) {
        const own = TITLES.filter((one) => nameOf(one) === part.name);
        if (own.includes(title)) {
          expect(part).toMatchObject({ status: 'error', code: SCRIPTED_CODE });
          expect(part.message).toContain(`${title} failed`);
        } else if (own.some((one) => begun.includes(one))) {
          expect(part).toMatchObject({ status: 'warning', message: expect.stringContaining('taken back') });
        } else expect(part).toMatchObject({ status: 'warning', message: 'not begun: nothing was changed' });
      }
    },
  );

  it.each(TITLES)('to be planned (%s) keeps all from acting', async (title) => {
    const outcome = await enable(ALL, { failPlan: [title] });
    expect(traced('plan')).toEqual(TITLES);
    expect(traced('act')).toEqual([]);
    expect(outcome.status?.message).toBe(
      `Enable failed: ${nameOf(title)}: planning ${title} failed\nNothing was changed.`,
    );
    expect(partsOf(outcome)).toEqual(
      Object.fromEntries([
        ['ErrorClarification', 'error'],
        ...NAMES.map((name) => [name, name === nameOf(title) ? 'error' : 'warning']),
      ]),
    );
  });

  it('to be planned is told together with the others', async () => {
    const { status } = await enable(ALL, { failPlan: ['ssh key', 'repair'] });
    expect(status?.message).toBe(
      'Enable failed: ssh key: planning ssh key failed\ndisk: planning repair failed\nNothing was changed.',
    );
  });

  it('to be planned for the same reason as another is told with it', async () => {
    const { status } = await enable(ALL, { failPlan: ['account', 'sudo', 'repair'], planReason: 'it' });
    expect(status?.message).toBe('Enable failed: account, sudo, disk: it failed\nNothing was changed.');
  });

  it('names what could not be taken back, and takes back all else', async () => {
    const outcome = await enable(ALL, { failAct: 'firewall', failUndo: 'password' });
    expect([...steps.changes]).toEqual(['password']);
    expect(outcome.status?.message).toBe(
      'Enable failed: firewall: firewall failed\nCould not be taken back: the change of password. Look at that before you try again; all other changes were taken back.',
    );
    expect(partsOf(outcome)).toMatchObject({ account: 'warning', password: 'error', sudo: 'warning' });
    const part = outcome.status?.substatus.find(({ name }) => name === 'password');
    expect(part).toMatchObject({
      code: -1,
      message: 'changed, and could not be taken back: the change of password',
    });
  });

  it('says of its own change that it could not be taken back', async () => {
    const { status } = await enable(ALL, { failAct: 'sudo', failUndo: 'sudo' });
    const part = status?.substatus.find(({ name }) => name === 'sudo');
    expect(part?.message).toBe('sudo failed\nchanged, and could not be taken back: the change of sudo');
  });

  it('leaves a step that had nothing to do a success', async () => {
    const outcome = await enable(ALL, { failAct: 'firewall', unchanged: ['account', 'sudo'] });
    expect(partsOf(outcome)).toMatchObject({ account: 'success', password: 'warning', sudo: 'success' });
    expect(traced('undo')).not.toContain('account');
  });

  it('without any change before it says that nothing was changed', async () => {
    const { status } = await enable(ALL, { failAct: 'account', unchanged: ['account'] });
    expect(status?.message).toBe('Enable failed: account: account failed\nNothing was changed.');
  });

  it('with an error of Node keeps its text, and no stack', async () => {
    const { status, exitCode } = await enable(ALL, {
      onAct: async (title) => {
        if (title === 'sudo') readFileSync(machine.path('/etc/none'));
      },
    });
    expect(exitCode).toBe(1);
    expect(status?.message).toMatch(/^Enable failed: sudo: ENOENT/);
    expect(status?.message).not.toContain('    at ');
  });
});

describe('a run that is to end', () => {
  const stopAt = async (title: string, more: PlannerScript = {}): Promise<OperationOutcome> => {
    const stop = new AbortController();
    const onAct = async (at: string, { run }: Parameters<NonNullable<PlannerScript['onAct']>>[1]) => {
      if (at !== title) return;
      const ended = run(['/bin/sleep', '60']);
      stop.abort(new HandlerError('INTERRUPTED', 'the run was ended by SIGTERM before it finished'));
      await ended;
    };
    return enable(ALL, { onAct, ...more }, { signal: stop.signal });
  };

  it('is taken back, by programs that run all the same, and its status has the reason and the steps', async () => {
    const said: string[] = [];
    const outcome = await stopAt('reset', {
      onUndo: async (title, { run, signal }) => {
        const { stdout } = await run(['/bin/echo', title]);
        said.push(stdout.trim());
        expect(signal.aborted).toBe(false);
      },
    });
    expect(traced('act')).toEqual(['account', 'password', 'sudo', 'reset']);
    expect(said).toEqual(['sudo', 'password', 'account']);
    expect([...steps.changes]).toEqual([]);
    expect(outcome.status).toMatchObject({
      status: 'error',
      code: 3,
      message:
        'Enable failed: sshd: the run was ended by SIGTERM before it finished\nEverything that was changed has been taken back.',
    });
    expect(partsOf(outcome)).toMatchObject({ account: 'warning', sshd: 'error', disk: 'warning' });
  });

  it('between two steps does not begin the next one', async () => {
    const stop = new AbortController();
    const onAct = async (title: string): Promise<void> => {
      if (title === 'sudo') stop.abort(new HandlerError('SUPERSEDED', 'newer settings arrived'));
    };
    const outcome = await enable(ALL, { onAct }, { signal: stop.signal });
    expect(traced('act')).toEqual(['account', 'password', 'sudo']);
    expect(traced('undo')).toEqual(['sudo', 'password', 'account']);
    expect(outcome.status?.message).toMatch(
      /^Enable failed: newer settings arrived\nEverything that was changed/,
    );
  });
});

describe('an account that is not there yet', () => {
  const user = { protected: { username: 'alice', password: PASSWORD } };
  const isNew = (): boolean => {
    const request = steps.requests.get('sudo');
    return typeof request === 'object' && request !== null && 'isNew' in request
      ? (request.isNew as () => boolean)()
      : false;
  };
  const mark = (): string => machine.path(`${LIB_FOLDER}/vm-access/new-account.json`);

  it('is new, and one that is there is not', async () => {
    await enable(user);
    expect(isNew()).toBe(true);
    await enable(user, { users: ['alice'] }, { sequence: 1 });
    expect(isNew()).toBe(false);
  });

  it('still counts as new when the run that began to make it was killed, and run again', async () => {
    let text = '';
    await enable(user, {
      onAct: async (title) => {
        if (title === 'account') text = readFileSync(mark(), 'utf8');
      },
    });
    expect(existsSync(mark())).toBe(false);
    expect(text).not.toContain(PASSWORD);
    for (const [sequence, written, expected] of [
      [1, text.replace('0', '1'), true],
      [2, text, false],
      [3, text.replace('0', '3').replace('alice', 'bob'), false],
      [4, 'broken', false],
    ] as const) {
      writeFileSync(mark(), written);
      await enable(user, { users: ['alice'] }, { sequence });
      expect(isNew(), written).toBe(expected);
      expect(existsSync(mark())).toBe(false);
    }
  });

  it('is not marked by a run that changes nothing', async () => {
    await enable(user, { failPlan: ['sudo'] });
    expect(existsSync(mark())).toBe(false);
  });
});

describe('what the platform sees', () => {
  const folders = () =>
    agentHandlerEnvironment(machine.handlerFolder(), join(LOG_FOLDER, machine.handlerName));
  const user = { username: 'alice', password: PASSWORD };
  const outer = (value: unknown): string => JSON.stringify({ runtimeSettings: [{ handlerSettings: value }] });
  const envelope = (value: unknown): string =>
    encryptProtectedSettings(value, machine.certificate.certificatePem);
  const withText = async (text: string): Promise<OperationOutcome> => {
    steps = scriptPlanners();
    machine.writeSettingsText(0, text);
    return machine.run(createAccessHandler(steps.planners), 'enable');
  };

  it.each<[string, () => string]>([
    ['are no JSON', () => '{"runtimeSettings": ['],
    ['are a list', () => '[]'],
    ['have no runtimeSettings (W2)', () => '{}'],
    ['name no certificate', () => outer({ publicSettings: {}, protectedSettings: envelope(user) })],
    [
      'hold something else than an object',
      () =>
        outer({
          protectedSettings: envelope([PASSWORD]),
          protectedSettingsCertThumbprint: machine.certificate.thumbprint,
        }),
    ],
  ])('settings that %s end in an error, and change nothing (W1)', async (_, text) => {
    const { exitCode, status } = await withText(text());
    expect([exitCode, status?.status]).toEqual([53, 'error']);
    expect(steps.trace).toEqual([]);
  });

  it('settings of a wrong type are told in the status, and no account was made before (W21)', async () => {
    const { exitCode, status } = await enable({ protected: { ...user, ssh_key: [KEY] } });
    expect([exitCode, status?.status, status?.code]).toEqual([53, 'error', 10]);
    expect(status?.message).toContain('protectedSettings.ssh_key: must be a text, and is an array');
    expect(status?.substatus.map(({ name }) => name)).toEqual(['ErrorClarification']);
    expect(steps.trace).toEqual([]);
  });

  it('a failure of any kind exits non-zero with a status (W2)', async () => {
    const { exitCode, status } = await enable(ALL, {
      onAct: () => Promise.reject(new TypeError('x is not a function')),
    });
    expect([exitCode, status?.status]).toEqual([1, 'error']);
  });

  it('a number that comes again keeps its status, also when that was lost, and nothing runs twice (W3)', async () => {
    const first = await enable({ protected: user });
    rmSync(join(machine.path(folders().statusFolder), '0.status'));
    const again = await machine.run(createAccessHandler(steps.planners), 'enable');
    expect(again.status).toEqual(first.status);
    expect(traced('act').filter((title) => title === 'account')).toHaveLength(1);
  });

  it('a run that was killed is done again when its number comes again (W3)', async () => {
    await enable({ protected: user });
    const journal = machine.path(join(machine.handlerFolder(), 'journal.json'));
    const text = readFileSync(journal, 'utf8');
    const dead = { pid: 4_000_000, startTicks: 1, bootId: '11111111-2222-4333-8444-555555555555' };
    writeFileSync(
      journal,
      JSON.stringify({ ...JSON.parse(text), state: 'running', status: null, process: dead }),
    );
    rmSync(join(machine.path(folders().statusFolder), '0.status'));
    const { status } = await machine.run(createAccessHandler(steps.planners), 'enable');
    expect(status?.status).toBe('success');
    expect(traced('act').filter((title) => title === 'account')).toHaveLength(2);
  });

  it('a success stays when its settings have been emptied and the number comes again (W4)', async () => {
    const { status } = await enable({ protected: user });
    for (const text of ['', outer({ protectedSettings: '*** REDACTED ***' })]) {
      const again = await withText(text);
      expect([again.exitCode, again.status]).toEqual([0, status]);
    }
  });

  it('of settings with any padding nothing stays once newer ones are done (W5)', async () => {
    for (const [sequence, more] of ['', '1', '12'].entries()) {
      const { status } = await enable(
        { protected: { ...user, password: PASSWORD + more } },
        {},
        { sequence },
      );
      expect(status?.status).toBe('success');
    }
    const text = (sequence: number): string =>
      readFileSync(join(machine.path(folders().configFolder), `${sequence}.settings`), 'utf8');
    expect([text(0), text(1)]).toEqual(['', '']);
    const [{ handlerSettings }] = JSON.parse(text(2)).runtimeSettings;
    expect(machine.readLog()).not.toContain(handlerSettings.protectedSettings.slice(0, 40));
  });

  it('what was decrypted and is no JSON is nowhere to be read (W6)', async () => {
    const { exitCode, status, stderr } = await withText(
      outer({
        protectedSettings: envelope(`{"password": "${PASSWORD}"`),
        protectedSettingsCertThumbprint: machine.certificate.thumbprint,
      }),
    );
    expect([exitCode, status?.status]).toEqual([53, 'error']);
    expect(JSON.stringify(status) + stderr + everythingLogged()).not.toContain('canary');
  });

  it('no program decrypts, whose words could get among the settings (W7)', async () => {
    const { status } = await enable({ protected: user });
    expect(status?.status).toBe('success');
    expect(machine.commands).toEqual([]);
  });

  it('a code is a whole number, files are whole, and a broken number of the last run is no obstacle (W8)', async () => {
    await enable({ protected: user }, { failAct: 'sudo' });
    const text = readFileSync(join(machine.path(folders().statusFolder), '0.status'), 'utf8');
    expect(JSON.parse(text)[0].status.code).toBe(SCRIPTED_CODE);
    writeFileSync(machine.path(join(machine.handlerFolder(), 'mrseq')), 'not a number');
    const { status } = await enable({ protected: user }, {}, { sequence: 1 });
    expect(status?.status).toBe('success');
    const left = readdirSync(machine.path(machine.handlerFolder()), { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('every line of the log is there and is JSON (W9)', async () => {
    await enable({ protected: user });
    const lines = machine.readLog().trim().split('\n');
    const messages = lines.map((line) => (JSON.parse(line) as { readonly message: string }).message);
    expect(messages[0]).toBe('enable started');
    expect(messages.filter((one) => one === 'step carried out')).toHaveLength(4);
    expect(messages.at(-1)).toBe('enable ended');
  });

  const everythingLogged = (): string => {
    const read = (folder: string): string =>
      readdirSync(machine.path(folder), { recursive: true, encoding: 'utf8' })
        .map((name) => machine.path(join(folder, name)))
        .filter((path) => statSync(path).isFile())
        .map((path) => readFileSync(path, 'utf8'))
        .join('\n');
    const events = folders().eventsFolder;
    return machine.readLog() + (events === undefined ? '' : read(events)) + read(folders().statusFolder);
  };

  it.each<[string, PlannerScript]>([
    ['that succeeds', {}],
    ['that fails', { failAct: 'firewall' }],
    ['that cannot be planned', { failPlan: ['sudo'] }],
    ['that cannot be taken back', { failAct: 'firewall', failUndo: 'account' }],
  ])(
    'no secret of a run %s is in status, log, events, data folder or stderr, whatever the steps say',
    async (...row) => {
      const says = `: ${PASSWORD} ${KEY} ${Buffer.from(PASSWORD).toString('base64')}`;
      const warning = { title: 'account', text: says };
      const { stderr } = await enable(ALL, { ...row[1], says, warning });
      const data = readdirSync(machine.path(`${LIB_FOLDER}/vm-access`));
      expect(data.filter((name) => name.startsWith('new-account'))).toEqual([]);
      const texts = everythingLogged() + stderr;
      expect(texts).toContain('[hidden]');
      expect(texts).not.toMatch(/canary/);
      expect(texts).not.toContain(Buffer.from(PASSWORD).toString('base64'));
    },
  );

  it('a password in the public half is refused, and not repeated', async () => {
    const { status, stderr } = await enable({ public: user, protected: { usrname: PASSWORD } });
    expect(status?.message).toContain('publicSettings.password: belongs into protectedSettings');
    expect(JSON.stringify(status) + stderr + everythingLogged()).not.toContain('canary');
  });
});
