/** Rules about what a package does when the agent runs it. Source: agent-contract 6, 7, 8; docs-and-reliability 1.1. */

export const DRY_RUN_RULES = {
  'run-install': {
    severity: 'error',
    reason: 'The agent could not install the handler, so nothing else of it runs.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py install',
    fix: 'See the words of the agent; the output of the command is in them.',
  },
  'run-enable': {
    severity: 'error',
    reason:
      'The command of enable failed or took more than five minutes, so the agent reports the handler as not ready.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py enable',
    fix: 'Exit with 0 and say in the status what failed; work that takes long has to go on in the background.',
  },
  'run-enable-refused': {
    severity: 'warning',
    reason: 'Enable ended with an error. It was given no settings, which an extension may refuse.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py enable, parse_ext_status',
    fix: 'Give what it needs with --settings and --protected-settings.',
  },
  'run-status': {
    severity: 'error',
    reason:
      'The agent reads the status file of the sequence number, and reports its own error when it cannot.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py collect_ext_status, parse_ext_status',
    fix: 'Write the status in the form of the contract, to a temporary file that is then renamed.',
  },
  'run-status-error': {
    severity: 'error',
    reason: 'With the settings that were given the extension reports an error.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py parse_ext_status',
    fix: 'Correct the settings or the extension; --no-run leaves the dry run out.',
  },
  'run-not-final': {
    severity: 'error',
    reason:
      'The status did not become final in the time that was given; on Azure the deployment waits until its time is over.',
    source:
      'WALinuxAgent 2.15 ga/exthandlers.py collect_ext_status; learn.microsoft.com/azure/virtual-machines/extensions/features-linux',
    fix: 'End every run with success or error. For an extension that needs longer, raise --timeout-minutes.',
  },
  'run-again': {
    severity: 'error',
    reason:
      'The agent runs enable with the same sequence number again and again, after every restart and change of the VM.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py handle_enable',
    fix: 'Let enable exit with 0 and keep the final status when the sequence number was processed before.',
  },
  'run-update': {
    severity: 'error',
    reason: 'An update to a higher version failed, which leaves the VM with half of it.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py _update_extension_handler_and_return_if_failed',
    fix: 'See the words of the agent. The order is disable (old), update (new), uninstall (old), install (new), enable (new).',
  },
  'run-state-lost': {
    severity: 'error',
    reason: 'After the update to a higher version the result of the same sequence number is gone.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py copy_status_files',
    fix: 'Keep the number of the last run at the root of the handler, where the agent copies it from.',
  },
  'run-disable': {
    severity: 'error',
    reason: 'A handler that cannot be disabled can neither be updated nor removed.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py disable',
    fix: 'Let disable exit with 0, also when there is nothing to do.',
  },
  'run-uninstall': {
    severity: 'error',
    reason: 'The command of uninstall failed; the agent removes the folder all the same.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py uninstall',
    fix: 'Let uninstall exit with 0, also when there is nothing to do.',
  },
  'run-leftovers': {
    severity: 'warning',
    reason: "After uninstall there are files of the extension in the agent's folder.",
    source: 'WALinuxAgent 2.15 ga/exthandlers.py remove_ext_handler',
    fix: 'Delete them in uninstall.',
  },
  'run-process-left': {
    severity: 'error',
    reason: 'After uninstall a process of the extension still runs, and its files are gone.',
    source: 'WALinuxAgent 2.15 ga/exthandlers.py remove_ext_handler',
    fix: 'End all processes in disable or uninstall.',
  },
  'run-other-architecture': {
    severity: 'note',
    reason: 'The package has no program for the processor of this machine, so it was not run.',
    source: 'elf(5)',
    fix: 'Run the check on such a machine, or pack for this one, too.',
  },
} as const;
