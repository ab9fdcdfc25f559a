// The other end of a verification that the browser asks for.

import { VerificationPhase } from "../js/node_modules/matrix-js-sdk/lib/crypto-api/verification.js";
import { same, until } from "../js/check.js";

/** Accepts the request on `device`; `compare` presses “They match” in the browser and gives the emoji it showed. */
export async function emojiAsTheOtherDevice(device, compare) {
  const request = await until("the phone is asked to verify", () =>
    device.requests.find((one) => one.phase === VerificationPhase.Requested),
  );
  await request.accept();
  const verifier = await request.startVerification("m.sas.v1");
  const run = verifier.verify();
  run.catch(() => {});
  const shown = await until("the phone shows emoji", () => verifier.getShowSasCallbacks());
  const seen = await compare();
  const names = shown.sas.emoji.map(([, name]) => name.toLowerCase());
  same("emoji", seen.join(" ").toLowerCase(), names.join(" "));
  await shown.confirm();
  await run;
}
