// SAS verification, driven from both ends as two people comparing emoji do.

import { VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/verification.js";
import { until, same } from "./check.js";

/** Finishes a request that `asking` made and `asked` has received; both must end in `Done`. */
export async function compareEmoji(asking, asked) {
  const incoming = await until(`${asked.localpart} is asked to verify`, () =>
    asked.requests.find((request) => request.phase === VerificationPhase.Requested),
  );
  await incoming.accept();
  const outgoing = asking.outgoing;
  await reaches(outgoing, VerificationPhase.Ready);
  const first = await outgoing.startVerification("m.sas.v1");
  const second = await until("the other side has a verifier", () => incoming.verifier);
  const [left, right] = [emoji(first), emoji(second)];
  const runs = Promise.all([first.verify(), second.verify()]);
  runs.catch(() => {});
  const [mine, theirs] = await Promise.all([left, right]);
  same("emoji", names(mine), names(theirs));
  await Promise.all([mine.confirm(), theirs.confirm()]);
  await runs;
  await reaches(outgoing, VerificationPhase.Done);
  await reaches(incoming, VerificationPhase.Done);
}

function reaches(request, phase) {
  return until(`verification reaches ${VerificationPhase[phase]}`, () => {
    if (request.phase === VerificationPhase.Cancelled) {
      throw new Error(`verification cancelled: ${request.cancellationCode}`);
    }
    return request.phase === phase;
  });
}

function emoji(verifier) {
  const shown = verifier.getShowSasCallbacks();
  if (shown) return Promise.resolve(shown);
  return new Promise((resolve, reject) => {
    verifier.once(VerifierEvent.ShowSas, resolve);
    verifier.once(VerifierEvent.Cancel, () => reject(new Error("verification cancelled")));
  });
}

function names(shown) {
  return shown.sas.emoji.map(([, name]) => name).join(" ");
}
