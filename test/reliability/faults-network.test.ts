/**
 * Networks that do not carry a packed handler's requests: no name, no way, a firewall, and an instance metadata service that is busy,
 * broken or absent. Each in a network namespace of the test's own.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { until } from '../await-condition.ts';
import { NO_OVERLAY } from '../local-vm.ts';
import type { UnpackedPackage } from '../unpacked-handler.ts';
import { layOutHandler, unpackPackage } from '../unpacked-handler.ts';
import type { BrokenNetwork, MetadataAnswer } from './broken-network.ts';
import { ABSENT_HOST, firewall, prepareNetwork, WITH_DEVICE } from './broken-network.ts';
import { CANARY, fewAtATime } from './tried-download.ts';

const NO_NETWORK = NO_OVERLAY ?? whyNoNetwork();

describe.skipIf(NO_NETWORK !== undefined)(
  `a network that does not carry${NO_NETWORK === undefined ? '' : ` (skipped: ${NO_NETWORK})`}`,
  () => {
    let probe: UnpackedPackage;
    beforeAll(() => {
      probe = unpackPackage(inject('probeZip'));
    });
    afterAll(() => probe.remove());

    /** Runs one enable inside such a network, on a machine of its own. */
    const enable = async (
      steps: readonly unknown[],
      network: BrokenNetwork,
      env: Readonly<Record<string, string>> = {},
    ) => {
      const handler = layOutHandler(probe);
      const prepared = prepareNetwork(handler, network);
      try {
        handler.writeSettings(0, { public: { steps } });
        const { exitCode, stderr, durationMs } = await handler.run('enable', {
          wrapper: prepared.wrapper,
          env,
        });
        const { message = stderr } = handler.readStatus(0) ?? {};
        return { exitCode, message, durationMs, requests: prepared.requests() };
      } finally {
        prepared.end();
        handler.remove();
      }
    };

    const url = `http://${ABSENT_HOST}/file?sig=${CANARY}`;
    const named = `http://files.example/file?sig=${CANARY}`;
    const viaDevice = (line: string): BrokenNetwork => ({ setup: `${WITH_DEVICE}\n${line}` });

    it('A24: a name or a host that cannot be reached is told as what it is, within the limits', async () => {
      const rows: readonly (readonly [string, string, BrokenNetwork, string])[] = [
        ['a name that is not there', named, { names: 'unknown' }, 'the name cannot be resolved (ENOTFOUND)'],
        ['a name server that fails', named, { names: 'failed' }, 'the name cannot be resolved at the moment'],
        [
          'a name server that refuses',
          named,
          { names: 'refused' },
          'the name cannot be resolved at the moment',
        ],
        ['no name server', named, {}, 'the name cannot be resolved at the moment (EAI_AGAIN)'],
        ['a name server that is silent', named, { names: 'silent' }, 'files.example: no answer in time'],
        ['no network', url, {}, 'the network is unreachable (ENETUNREACH)'],
        ['no network for IPv6', 'http://[2001:db8::1]/file', {}, 'the network is unreachable (ENETUNREACH)'],
        [
          'no way',
          url,
          viaDevice(`ip route add unreachable ${ABSENT_HOST}`),
          'no route to the host (EHOSTUNREACH)',
        ],
        [
          'a forbidden way',
          url,
          viaDevice(`ip route add prohibit ${ABSENT_HOST}`),
          'forbids the connection (EACCES)',
        ],
        [
          'packets that are dropped',
          url,
          viaDevice(firewall(ABSENT_HOST, 'drop')),
          `${ABSENT_HOST}: no answer in time`,
        ],
        [
          'connections that are reset',
          url,
          viaDevice(firewall(ABSENT_HOST, 'ip protocol tcp reject with tcp reset')),
          'the connection was refused (ECONNREFUSED)',
        ],
        [
          'a firewall that says so',
          url,
          viaDevice(firewall(ABSENT_HOST, 'reject with icmp admin-prohibited')),
          'no route to the host (EHOSTUNREACH)',
        ],
        [
          'a port where nobody listens',
          'http://127.0.0.1:1/file',
          {},
          'the connection was refused (ECONNREFUSED)',
        ],
      ];
      const results = await fewAtATime(rows, async ([name, target, network, text]) => {
        const step = { do: 'download', url: target, file: 'file', attempts: 3, headersMs: 700 };
        const { exitCode, message, durationMs } = await enable([step], network);
        const isTold = message.includes(text) && !message.includes(CANARY);
        return { name, exitCode, message: isTold ? 'as wanted' : message, inTime: durationMs < 30_000 };
      });
      expect(results).toEqual(
        rows.map(([name]) => ({ name, exitCode: 1, message: 'as wanted', inTime: true })),
      );
    });

    it('A24: a run ends at once by SIGTERM while a name is waited for', async () => {
      const handler = layOutHandler(probe);
      const prepared = prepareNetwork(handler, { names: 'silent' });
      try {
        handler.writeSettings(0, { public: { steps: [{ do: 'download', url: named, file: 'file' }] } });
        const operation = handler.start('enable', { wrapper: prepared.wrapper });
        const { pid } = await until('the run', () => handler.trace()[0]);
        const asked = performance.now();
        process.kill(pid, 'SIGTERM');
        expect((await operation.ended).exitCode).toBe(1);
        // The name server is given twelve seconds by the system.
        expect(performance.now() - asked).toBeLessThan(10_000);
        expect(handler.readStatus(0)?.message).toBe(
          'Enable failed: the run was ended by SIGTERM before it finished',
        );
      } finally {
        prepared.end();
        handler.remove();
      }
    });

    it('A24: a network that loses packets, and one that falls silent in the middle of a file, cost time or a clear error', async () => {
      const bytes = 1_000_000;
      const step = { do: 'download', url: 'http://127.0.0.1/file', file: 'file', attempts: 2, idleMs: 1_000 };
      const lossy =
        'ip link set lo mtu 1500\nnft "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o numgen random mod 100 < 5 drop"';
      const cut = lossy.replace('numgen random mod 100 < 5', 'tcp sport 80 ct reply bytes > 300000');
      const [delayed, stopped] = await Promise.all(
        [lossy, cut].map((setup) =>
          enable([{ ...step, ...(setup === lossy && { idleMs: 60_000 }) }], { setup, bytes }),
        ),
      );
      expect(delayed?.message).toContain(`Enable succeeded: ${bytes} bytes`);
      expect(stopped?.message).toContain(
        '127.0.0.1: the server stopped sending before the file was complete',
      );
    });

    it('A27: the instance metadata service is asked again where that helps, and never over a proxy', async () => {
      const fine: MetadataAnswer = { status: 200, body: '{"vmId":"1-2","name":"vm","location":"place"}' };
      const token: MetadataAnswer = {
        status: 200,
        body: '{"access_token":"canary.token","expires_in":"3600"}',
      };
      const several =
        '{"error":"invalid_request","error_description":"Multiple user assigned identities exist"}';
      const metadata = { do: 'instance-metadata' };
      const identity = { do: 'token', resource: 'https://storage.azure.com/' };
      const rows: readonly (readonly [
        string,
        unknown,
        readonly MetadataAnswer[] | undefined,
        string,
        number,
      ])[] = [
        ['an answer', metadata, [fine], 'succeeded: vm in place', 1],
        ['404 for a moment', metadata, [{ status: 404 }, fine], 'succeeded: vm in place', 2],
        ['410 for a moment', metadata, [{ status: 410 }, fine], 'succeeded: vm in place', 2],
        ['500 for a moment', metadata, [{ status: 500 }, fine], 'succeeded: vm in place', 2],
        [
          '429',
          metadata,
          [{ status: 429, headers: { 'Retry-After': '1' } }, fine],
          'succeeded: vm in place',
          2,
        ],
        ['a slow answer', metadata, [{ ...fine, delay: 2 }], 'succeeded: vm in place', 1],
        ['404 for good', metadata, [{ status: 404 }], 'answered 404', 3],
        ['400', metadata, [{ status: 400, body: CANARY }], 'answered 400', 1],
        [
          'a redirect',
          metadata,
          [{ status: 302, headers: { Location: 'http://127.0.0.1/' } }],
          'answered 302',
          1,
        ],
        [
          'no JSON',
          metadata,
          [{ status: 200, body: `<html>${CANARY}` }],
          'the answer of the service is not JSON',
          1,
        ],
        ['other JSON', metadata, [{ status: 200, body: '[]' }], 'names no VM', 1],
        ['too much', metadata, [{ status: 200, body: 'a'.repeat(1000), times: 2000 }], 'is not JSON', 1],
        ['nobody', metadata, undefined, 'the network is unreachable (ENETUNREACH)', 0],
        ['a token', identity, [token], 'succeeded: token: [hidden]', 1],
        ['a token after 429', identity, [{ status: 429 }, token], 'succeeded: token: [hidden]', 2],
        ['no identity', identity, [{ status: 400, body: '{}' }], 'assign a system-assigned identity', 1],
        [
          'several identities',
          identity,
          [{ status: 400, body: several }],
          'the VM has several identities',
          1,
        ],
        ['no identity, by 404', identity, [{ status: 404 }], 'the VM has no managed identity', 3],
        ['no token', identity, [{ status: 200, body: '{"access_token":5}' }], 'holds no token', 1],
        ['two lines', identity, [{ status: 200, body: '{"access_token":"a\\nb: c"}' }], 'holds no token', 1],
        ['nobody with a token', identity, undefined, 'the network is unreachable (ENETUNREACH)', 0],
      ];
      const proxy = { http_proxy: 'http://127.0.0.1:9', all_proxy: 'http://127.0.0.1:9' };
      const results = await fewAtATime(
        rows,
        async ([name, step, answers, text]) => {
          const network: BrokenNetwork = answers === undefined ? {} : { metadata: answers };
          const { message, requests } = await enable([step], network, proxy);
          const isTold =
            message.includes(text) && !message.includes(CANARY) && !message.includes('canary.token');
          const isMarked = requests.every((line) => line.startsWith('true /metadata/'));
          return { name, message: isTold ? 'as wanted' : message, requests: requests.length, isMarked };
        },
        8,
      );
      expect(results).toEqual(
        rows.map(([name, , , , requests]) => ({ name, message: 'as wanted', requests, isMarked: true })),
      );
    });
  },
);

/** Tries what the tests need: devices and rules in a namespace. */
function whyNoNetwork(): string | undefined {
  const script = `set -e\nip link set lo up${WITH_DEVICE}\n${firewall(ABSENT_HOST, 'drop')}\npython3 -c ''`;
  try {
    execFileSync('unshare', ['--net', '/bin/sh', '-c', script], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'it needs unshare, ip, nft and python3, and veth in the kernel';
  }
}
