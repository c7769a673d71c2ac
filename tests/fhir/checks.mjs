// One line a check, and the totals as the last line. Imported before @medplum/core, which names a class that Node has from version 22
// on; only its subscriptions use it.

globalThis.WebSocket ??= class {};

let passed = 0;
let failed = 0;

export async function check(name, work) {
  try {
    await work();
    passed += 1;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    // A refusal that a client made into an error says most in its body.
    const answer = error.response?.data ?? error.outcome;
    console.log(`FAIL  ${name}\n${error.stack}${answer ? `\n${JSON.stringify(answer)}` : ""}`);
  }
}

export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
