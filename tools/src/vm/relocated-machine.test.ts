/** VMs of an ordinary user: as this user, and as nobody where this user is root. */
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LIB_FOLDER } from '@handlerkit/sdk/contract';
import { describe, expect, it } from 'vitest';
import {
  AS_NOBODY,
  deps,
  NOBODY,
  runUseMachine,
  useMachineRig,
  whyNoNobody,
} from './fixtures/machine-rig.ts';
import { destroyMachine, openMachine } from './machine.ts';

const rig = useMachineRig();

describe('a relocated VM', () => {
  it("puts the agent's folders into the state folder and leaves other paths alone", async () => {
    const machine = await rig.open({ kind: 'relocated' });
    const libFolder = join(rig.base, 'vm/root', LIB_FOLDER);
    expect(machine.libFolder).toBe(libFolder);
    expect(machine.hostPath(libFolder)).toBe(libFolder);
    expect(machine.hostPath(`${LIB_FOLDER}/x`)).toBe(`${libFolder}/x`);
    expect(machine.hostPath(`${LIB_FOLDER}-other`)).toBe(`${LIB_FOLDER}-other`);
    expect(machine.hostPath('/etc/hostname')).toBe('/etc/hostname');
    expect(machine.limits).toContain('on this machine');
  });

  it('is what a user who is not root gets, with the reason', async () => {
    const machine = await openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'auto' },
      { ...deps, uid: 1000 },
    );
    rig.closeLater(machine);
    expect(machine.kind).toBe('relocated');
    expect(machine.limits).toContain('Only root');
  });

  it('is refused to a user who is not root and wants an overlay, and nothing is left', async () => {
    const opening = openMachine(
      { stateFolder: join(rig.base, 'vm'), isolation: 'overlay' },
      { ...deps, uid: 1000 },
    );
    await expect(opening).rejects.toMatchObject({ code: 'vm-overlay-unavailable' });
    expect(existsSync(join(rig.base, 'vm'))).toBe(false);
  });

  const noNobody = whyNoNobody();
  it.skipIf(noNobody !== undefined)(
    `runs handlers for an ordinary user${noNobody === undefined ? '' : ` (skipped: ${noNobody})`}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'handlerkit-nobody-'));
      chownSync(folder, NOBODY, NOBODY);
      try {
        const tool = runUseMachine([join(folder, 'vm'), 'auto', 'id -u; pwd; exit 5'], {
          prefix: AS_NOBODY,
          temporary: folder,
        });
        await tool.ended;
        expect(tool.reports()).toEqual([
          expect.objectContaining({ kind: 'relocated', limits: expect.stringContaining('Only root') }),
          expect.objectContaining({ exitCode: 5 }),
        ]);
        const lib = join(folder, 'vm/root', LIB_FOLDER);
        expect(readFileSync(join(folder, 'vm/output'), 'utf8')).toBe(`65534\n${lib}\n`);
        await destroyMachine(join(folder, 'vm'), deps);
        expect(readdirSync(folder).filter((name) => name.startsWith('vm'))).toEqual([]);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
