/**
 * How long and how often the agent waits for what a handler writes.
 * Source: WALinuxAgent 2.15 `ga/exthandlers.py` _read_status_file, wait_for_handler_completion; agent-contract 7.6, 8.1.
 */

/** How often the agent tries to read a status file that is missing, unreadable or no JSON, and the pause between. */
export const STATUS_READ_ATTEMPTS = 5;
/** Seconds between two of these tries. */
export const STATUS_READ_PAUSE_SECONDS = 2;

/** How often the agent looks whether the extensions of a lower dependency level are done. */
export const DEPENDENCY_POLL_SECONDS = 5;
/** How long it does so, counted from the beginning of the goal state's processing. */
export const DEPENDENCY_LIMIT_MINUTES = 90;
