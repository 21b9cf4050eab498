/** Rules about what a package does when the agent runs it. Source: agent-contract 6, 7, 8; docs-and-reliability 1.1. */

export const DRY_RUN_RULES = {
  'run-install': {
    severity: 'error',
    reason: 'The agent could not install the handler, so nothing else of it runs.',
    source: 'agent-contract 1.2, 6.4, 7.3',
    fix: 'See the words of the agent; the output of the command is in them.',
  },
  'run-enable': {
    severity: 'error',
    reason:
      'The command of enable failed or took more than five minutes, so the agent reports the handler as not ready.',
    source: 'agent-contract 6.4',
    fix: 'Exit with 0 and say in the status what failed; work that takes long has to go on in the background.',
  },
  'run-enable-refused': {
    severity: 'warning',
    reason: 'Enable ended with an error. It was given no settings, which an extension may refuse.',
    source: 'agent-contract 6.4, 8.2',
    fix: 'Give what it needs with --settings and --protected-settings.',
  },
  'run-status': {
    severity: 'error',
    reason:
      'The agent reads the status file of the sequence number, and reports its own error when it cannot.',
    source: 'agent-contract 8.2, 8.3',
    fix: 'Write the status in the form of the contract, to a temporary file that is then renamed.',
  },
  'run-status-error': {
    severity: 'error',
    reason: 'With the settings that were given the extension reports an error.',
    source: 'agent-contract 8.2',
    fix: 'Correct the settings or the extension; --no-run leaves the dry run out.',
  },
  'run-not-final': {
    severity: 'error',
    reason:
      'The status did not become final in the time that was given; on Azure the deployment waits until its time is over.',
    source: 'docs-and-reliability 1.1; agent-contract 8.4',
    fix: 'End every run with success or error. For an extension that needs longer, raise --timeout-minutes.',
  },
  'run-again': {
    severity: 'error',
    reason:
      'The agent runs enable with the same sequence number again and again, after every restart and change of the VM.',
    source: 'agent-contract 0 (1), 7.2',
    fix: 'Let enable exit with 0 and keep the final status when the sequence number was processed before.',
  },
  'run-update': {
    severity: 'error',
    reason: 'An update to a higher version failed, which leaves the VM with half of it.',
    source: 'agent-contract 7.4',
    fix: 'See the words of the agent. The order is disable (old), update (new), uninstall (old), install (new), enable (new).',
  },
  'run-state-lost': {
    severity: 'error',
    reason: 'After the update to a higher version the result of the same sequence number is gone.',
    source: 'agent-contract 4.2, 7.4 (only the sequence file and the statuses are copied)',
    fix: 'Keep the number of the last run at the root of the handler, where the agent copies it from.',
  },
  'run-disable': {
    severity: 'error',
    reason: 'A handler that cannot be disabled can neither be updated nor removed.',
    source: 'agent-contract 6.4, 7.6',
    fix: 'Let disable exit with 0, also when there is nothing to do.',
  },
  'run-uninstall': {
    severity: 'error',
    reason: 'The command of uninstall failed; the agent removes the folder all the same.',
    source: 'agent-contract 6.4, 7.6',
    fix: 'Let uninstall exit with 0, also when there is nothing to do.',
  },
  'run-leftovers': {
    severity: 'warning',
    reason: "After uninstall there are files of the extension in the agent's folder.",
    source: 'agent-contract 7.6, 7.8',
    fix: 'Delete them in uninstall.',
  },
  'run-process-left': {
    severity: 'error',
    reason: 'After uninstall a process of the extension still runs, and its files are gone.',
    source: 'agent-contract 7.6; sdk-anchors 4',
    fix: 'End all processes in disable or uninstall.',
  },
  'run-other-architecture': {
    severity: 'note',
    reason: 'The package has no program for the processor of this machine, so it was not run.',
    source: 'runtime.md',
    fix: 'Run the check on such a machine, or pack for this one, too.',
  },
} as const;
