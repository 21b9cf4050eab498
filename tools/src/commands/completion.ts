/**
 * `handlerkit completion [shell]`: the script with which bash or zsh asks this tool for the words that fit. The words themselves come
 * from yargs, which answers to `--get-yargs-completions`.
 */
import { basename } from 'node:path';
import type { Argv } from 'yargs';
import type { CommandContext } from '../tool-deps.ts';

const SHELLS = ['bash', 'zsh'] as const;
type Shell = (typeof SHELLS)[number];

/** Declares the command's arguments. */
export function builder(yargs: Argv) {
  return yargs
    .positional('shell', { type: 'string', choices: SHELLS, describe: 'The shell (default: that of $SHELL)' })
    .example('$0 completion bash >> ~/.bashrc', 'Complete in bash')
    .example('$0 completion zsh >> ~/.zshrc', 'Complete in zsh');
}

/** Prints the script. `shell` is a name of the choices, which the parser has checked. */
export function completionCommand(shell: string | undefined, { ui, deps }: CommandContext): void {
  const chosen = SHELLS.find((one) => one === (shell ?? basename(deps.env.SHELL ?? ''))) ?? 'bash';
  const script = SCRIPTS[chosen];
  ui.json({ shell: chosen, script });
  ui.result(script);
}

/** The program is the one whose name is being completed: it need not be on the search path. */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# Completion of handlerkit for bash: handlerkit completion bash >> ~/.bashrc
_handlerkit() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    [[ $word == "\${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=("$word")
  done < <(SHELL=bash ZSH_NAME='' "\${COMP_WORDS[0]}" --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2> /dev/null)
}
complete -o bashdefault -o default -F _handlerkit handlerkit
`,
  zsh: `#compdef handlerkit
# Completion of handlerkit for zsh: handlerkit completion zsh >> ~/.zshrc (behind compinit)
_handlerkit() {
  local -a found
  found=("\${(@f)$(SHELL=zsh "\${words[1]}" --get-yargs-completions "\${(@)words[1,CURRENT]}" 2> /dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    _describe 'word of handlerkit' found
  else
    _default
  fi
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then
  _handlerkit "$@"
else
  compdef _handlerkit handlerkit
fi
`,
};
