#!/usr/bin/env bash
# `npm test`: sets the system up, runs all tests (or those that the arguments name, as for vitest), and ends with one
# line, `N passed, N failed, N skipped`, also when vitest breaks off. With CI=true a skipped test is a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bash test/setup.sh
total=$(mktemp)
trap 'rm -f "$total"' EXIT
HANDLERKIT_TOTAL_FILE=$total npx --no-install vitest run "$@"
code=$?

line=$(cat "$total")
if [ -z "$line" ]; then
  echo 'The tests broke off before their end.'
  line='0 passed, 1 failed, 0 skipped'
  [ "$code" -ne 0 ] || code=1
fi
case $line in
  *' 0 failed,'*) ;;
  *) [ "$code" -ne 0 ] || code=1 ;;
esac
if [ "${CI:-}" = true ] && [ "${line##*, }" != '0 skipped' ]; then
  echo 'In CI a skipped test is a failure; the skipped ones are listed above.'
  [ "$code" -ne 0 ] || code=1
fi
echo "$line"
exit "$code"
