import { describe, expect, it } from 'vitest';
import { formatConfiguration } from './waagent-files.ts';

describe("the agent's configuration", () => {
  it('keeps what the package says, but for what would touch this machine or take time', () => {
    const lines = formatConfiguration(
      '# a comment\nExtensions.Enabled=y\nResourceDisk.Format=y\nOS.RootDeviceScsiTimeout=300\n# ResourceDisk.Format=y\n',
    ).split('\n');
    expect(lines.slice(0, 3)).toEqual(['# a comment', 'Extensions.Enabled=y', '# ResourceDisk.Format=y']);
    expect(lines).toContain('ResourceDisk.Format=n');
    expect(lines).toContain('Extensions.GoalStatePeriod=1');
    expect(lines.join('\n')).not.toContain('RootDeviceScsiTimeout');
  });
});
