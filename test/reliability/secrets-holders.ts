/** The places that are meant to hold secrets, each with its reason and its modes; and the files of a handler that are not its own. */
import type { DeclaredHolder, ModeRule } from './secrets-ledger.ts';

/** `nobody`, as whom a command of the campaign runs. */
const OTHER_USER = 65534;

export const HOLDERS: readonly DeclaredHolder[] = [
  {
    place: /:cwd\/input-\d+\/protected\.json$/,
    why: 'the file with protected settings that the user gave to the tool',
    modes: [0o600],
  },
  {
    place: /[/:](?:custom-script\/download|handlerkit-custom-script)\/\d+\/script\.sh$/,
    fields: /^custom-script script$/,
    why: 'the decoded script that runs',
    modes: [0o500],
  },
  {
    place: /[/:]custom-script\/download\/\d+\/std(?:out|err)$/,
    why: 'what the script itself prints',
    modes: [0o600],
  },
  {
    place: /:cwd\/deploy-[\w-]+\/[\w.-]*protected[\w.-]*$/,
    why: 'the files for deploying that the tool marks as secret',
    modes: [0o600],
  },
  {
    place:
      /(?:\/config\/\d+\.settings|:cwd\/\.handlerkit\/vm\/extensions\.json|:cwd\/input-\d+\/public\.json)$/,
    fields: /in the public half$/,
    why: 'what the user has put into the public half is public',
  },
  {
    place: /^environ /,
    fields: /^custom-script environment$/,
    why: "the environment of the user's own command",
  },
  {
    place: /^environ /,
    fields: /^packing environment$/,
    why: 'the environment in which a person packs',
  },
];

/** Of a handler's versioned folder: what is not named here is the handler's, folders 0700 and files 0600. */
export const HANDLER_FOLDER_MODES: readonly ModeRule[] = [
  // The package, as the agent unpacks it, in a folder that only root enters.
  { path: /^\/(?:bin(?:\/.*)?|[^/]+\.(?:json|xml|md|txt)|LICENSES?.*)?$/ },
  // The agent's files: protected settings are encrypted there.
  { path: /^\/config(?:\/.*)?$/ },
];

/** Of a data folder. */
export const DATA_FOLDER_MODES: readonly ModeRule[] = [
  { path: /^\/download\/\d+\/(?!std(?:out|err)$)[^/]+$/, modes: [0o500] },
  // A command opens its own streams again, which only their owner can.
  { path: /^\/download\/\d+\/std(?:out|err)$/, modes: [0o600], owners: [0, OTHER_USER] },
];

/** Of the folder for commands of another user, which lets that user through. */
export const USER_FOLDER_MODES: readonly ModeRule[] = [
  { path: /^\/$/, modes: [0o711] },
  { path: /^\/\d+$/, modes: [0o700], owners: [OTHER_USER] },
  { path: /^\/\d+\/std(?:out|err)$/, modes: [0o600], owners: [OTHER_USER] },
  { path: /^\/\d+\/[^/]+$/, modes: [0o500], owners: [OTHER_USER] },
];

/** Of a handler's log folder. */
export const LOG_FOLDER_MODES: readonly ModeRule[] = [
  // Made by the agent; nothing in it is secret.
  { path: /^\/(?:CommandExecution(?:_\w+)?\.log|events)?$/ },
  // Written by the probe's own code.
  { path: /^\/trace\.jsonl$/ },
  { path: /\.log(?:\.1)?$/, modes: [0o600, 0o640] },
];
