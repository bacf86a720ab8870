/**
 * A shell script that doubles its processes like a fork bomb, and stops doubling at 1,024: should the limit under
 * test not hold, the machine of the test outlives it.
 */
export const boundedBomb = `bomb() {
  if [ "$1" -gt 9 ]; then sleep 20; exit; fi
  bomb $(($1 + 1)) & bomb $(($1 + 1)) & sleep 20
}
bomb 0
sleep 60
`;
