import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ToolError } from '../errors.ts';
import { agentCacheFolder, fetchAgentPackages } from './waagent-package.ts';

/** Programs of apt and dpkg that do what the test says: what the network gives is not a matter of a unit test. */
const DPKG_DEB = `#!/bin/sh
cat "$3.depends" 2>/dev/null || echo "python3-distro (>= 1), python3:any, python3-pkg-resources, ca-certificates, openssl"
`;
const APT_GET = `#!/bin/sh
echo "$@" >> "$CALLS"
for name; do
  case $name in
  update) : > "$CALLS.updated" ;;
  waagent | walinuxagent | python3-distro)
    if [ "$name" = "$NO_SUCH" ]; then echo "E: Unable to locate package $name" >&2; exit 100; fi
    if [ -n "$NEEDS_LISTS" ] && [ ! -e "$CALLS.updated" ]; then echo "E: Unable to locate package $name" >&2; exit 100; fi
    if [ -n "$NO_NETWORK" ]; then echo "E: Failed to fetch http://mirror/$name?token=abc" >&2; exit 100; fi
    echo "$name" > "\${name}_1.2_all.deb" ;;
  esac
done
`;

describe("the agent's packages", () => {
  let base = '';
  let env: Record<string, string> = {};
  const said: string[] = [];

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'handlerkit-deb-'));
    const programs = join(base, 'bin');
    mkdirSync(programs);
    for (const [name, text] of [
      ['apt-get', APT_GET],
      ['dpkg-deb', DPKG_DEB],
    ] as const) {
      writeFileSync(join(programs, name), text);
      chmodSync(join(programs, name), 0o755);
    }
    env = {
      PATH: `${programs}:/usr/bin:/bin`,
      XDG_CACHE_HOME: join(base, 'cache'),
      CALLS: join(base, 'calls'),
    };
    said.length = 0;
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  const fetch = (changes: Record<string, string> = {}) =>
    fetchAgentPackages({ env: { ...env, ...changes }, progress: (text) => said.push(text) });
  const calls = () => readFileSync(join(base, 'calls'), 'utf8').trim().split('\n');
  const kept = () => readdirSync(agentCacheFolder(env)).sort();

  it('are fetched once, with the modules that the agent depends on, and then used offline', async () => {
    const first = await fetch();
    expect(first.version).toBe('1.2');
    expect(first.files.map((file) => basename(file).replace(/\.[0-9a-f]{64}/, ''))).toEqual([
      'waagent_1.2_all.deb',
      'python3-distro_1.2_all.deb',
    ]);
    expect(calls()).toHaveLength(2);
    await expect(fetch({ NO_NETWORK: 'yes' })).resolves.toEqual(first);
    expect(calls()).toHaveLength(2);
    expect(said).toEqual(['Fetching waagent with apt-get', 'Fetching python3-distro with apt-get']);
  });

  it('are fetched with lists of our own where this machine has none', async () => {
    await fetch({ NEEDS_LISTS: 'yes' });
    const update = calls().find((call) => call.endsWith('update')) ?? '';
    expect(update).toContain(`Dir::State::Lists=${agentCacheFolder(env)}/`);
    expect(update).toContain(`Dir::Cache=${agentCacheFolder(env)}/`);
    expect(kept()).toHaveLength(2);
  });

  it("are fetched by Ubuntu's name where there is none of Debian's", async () => {
    const first = await fetch({ NO_SUCH: 'waagent' });
    expect(basename(first.files[0] ?? '')).toMatch(/^walinuxagent_1\.2_all\./);
    await expect(fetch({ NO_NETWORK: 'yes' })).resolves.toEqual(first);
  });

  it('are fetched again when the cached one is damaged', async () => {
    const { files } = await fetch();
    writeFileSync(files[0] ?? '', 'cut off');
    await fetch();
    expect(calls()).toHaveLength(3);
    expect(readFileSync(files[0] ?? '', 'utf8')).toBe('waagent\n');
  });

  it('are taken from where somebody put them by hand', async () => {
    mkdirSync(agentCacheFolder(env), { recursive: true });
    for (const name of ['waagent_9.9-1_all.deb', 'python3-distro_1.9_all.deb']) {
      writeFileSync(join(agentCacheFolder(env), name), 'by hand');
    }
    await expect(fetch({ NO_NETWORK: 'yes' })).resolves.toMatchObject({ version: '9.9-1' });
  });

  it('that cannot be had are an error that says what to do, without the query of an address; nothing is left', async () => {
    const error = await fetch({ NO_NETWORK: 'yes' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ToolError);
    expect(error).toMatchObject({ code: 'WAAGENT_DOWNLOAD_FAILED' });
    expect(String(error)).toContain('Failed to fetch http://mirror/waagent');
    expect(String(error)).not.toContain('abc');
    expect(error instanceof ToolError ? error.hint : '').toContain(
      `apt-get download waagent\` on a Debian system and copy the result into ${agentCacheFolder(env)}`,
    );
    expect(kept()).toEqual([]);
  });
});
