// What there is before anybody logs in, and features that are not here.

import { ask, fresh, seg } from "../client.js";

export async function discovery({ alice }) {
  await ask("GET", "/_matrix/client/versions");
  for (const file of ["client", "support"]) await ask("GET", `/.well-known/matrix/${file}`);
  await ask("GET", "/.well-known/matrix/policy_server", { is: "404 M_NOT_FOUND" });
  await ask("GET", "login");
  await ask("GET", "/_matrix/client/v1/auth_metadata", { is: "404 M_UNRECOGNIZED" });
  await ask("GET", "login/sso/redirect?redirectUrl=http%3A%2F%2Fx", { is: "404 M_UNRECOGNIZED" });
  await ask("GET", "login/sso/redirect/x?redirectUrl=http%3A%2F%2Fx", { is: "404 M_UNRECOGNIZED" });
  await ask("GET", `register/available?username=${fresh("nobody")}`);
  await ask("GET", `register/available?username=${fresh("alice")}`, { is: "400 M_USER_IN_USE" });
  await ask("GET", "register/available?username=%C3%84", { is: "400 M_INVALID_USERNAME" });
  const validity = "/_matrix/client/v1/register/m.login.registration_token/validity";
  await ask("GET", `${validity}?token=x`);
  await ask("GET", `${validity}?token=${seg(process.env.HOMESERVER_TOKEN ?? "y")}`);
  await alice.get("capabilities");
  await alice.get("voip/turnServer");
  await alice.get("thirdparty/protocols");
  for (const path of ["protocol/x", "location/x", "user/x", "location?alias=%23a%3Ab", "user?userid=%40a%3Ab"]) {
    await alice.get(`thirdparty/${path}`, "404 M_NOT_FOUND");
  }
  await alice.post("/_matrix/client/v1/appservice/x/ping", {}, "403 M_FORBIDDEN");
  await alice.put("directory/list/appservice/x/!y:z", { visibility: "public" }, "403 M_FORBIDDEN");
  await ask("GET", "capabilities", { is: "401 M_MISSING_TOKEN" });
  await ask("GET", "capabilities", { auth: "x", is: "401 M_UNKNOWN_TOKEN" });
}
