/** The command that gives a scale set's extensions the time they need. Source: docs-and-reliability 1.9 (extensionsTimeBudget). */
import { type Deployment, timeBudget } from './deployment.ts';
import { formatCommand, type ShellExpression } from './shell-quote.ts';

/** For the Azure CLI, with a comment. It comes after the extension: the profile is there once the scale set has one. */
export function formatTimeCommand(
  deployment: Deployment,
  group: string | ShellExpression,
  name: string | ShellExpression,
): string {
  return `# How long the scale set waits for all of its extensions together.
${formatCommand('az vmss update', [
  ['--resource-group', group],
  ['--name', name],
  ['--set', `virtualMachineProfile.extensionProfile.extensionsTimeBudget=${timeBudget(deployment)}`],
])}`;
}
