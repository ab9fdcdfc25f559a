// Accounts: making them, logging in and out, passwords, third-party identifiers, administration, the end.

import { ask, fresh, register, seg } from "../client.js";

export async function accounts({ admin, alice, bob }) {
  await alice.get("account/whoami");
  await registrations();
  await logins(alice);
  await passwords();
  await identifiers(alice);
  await alice.post(`user/${seg(alice.user)}/openid/request_token`);
  await bob.post(`user/${seg(alice.user)}/openid/request_token`, {}, "403 M_FORBIDDEN");
  await administration(admin, alice, bob);
  await ending();
}

async function registrations() {
  const password = "wombat lantern quartz drizzle";
  await ask("POST", "register", { body: { username: fresh("alice"), password }, is: "400 M_USER_IN_USE" });
  await ask("POST", "register", { body: { username: "Ä", password }, is: "400 M_INVALID_USERNAME" });
  await ask("POST", "register?kind=guest", { body: {}, is: "403 M_FORBIDDEN" });
  await ask("POST", "register", { body: "{", raw: true, is: "400 M_NOT_JSON" });
}

async function logins(alice) {
  const identifier = { type: "m.id.user", user: alice.user };
  const body = { type: "m.login.password", identifier, password: "wrong" };
  await ask("POST", "login", { body, is: "403 M_FORBIDDEN" });
  await ask("POST", "login", { body: { type: "m.login.token", token: "x" }, is: "403 M_FORBIDDEN" });
  await ask("POST", "login", { body: { type: "x.unknown" }, is: "400 M_UNKNOWN" });
  const second = await alice.again({ refresh_token: true, initial_device_display_name: "another" });
  const refreshed = await ask("POST", "refresh", { body: { refresh_token: second.refresh } });
  second.token = refreshed.access_token;
  await second.get("account/whoami");
  await ask("POST", "refresh", { body: { refresh_token: "x" }, is: "401 M_UNKNOWN_TOKEN" });
  await second.post("logout");
  await second.get("account/whoami", "401 M_UNKNOWN_TOKEN");
  const { login_token: token } = await alice.proven("POST", "/_matrix/client/v1/login/get_token");
  const fifth = await ask("POST", "login", { body: { type: "m.login.token", token } });
  await ask("POST", "logout", { body: {}, auth: fifth.access_token });
  await ask("POST", "login", { body: { type: "m.login.token", token }, is: "403 M_FORBIDDEN" });

  const third = await alice.again();
  await alice.get("devices");
  await alice.get(`devices/${third.device}`);
  await alice.get("devices/NONE", "404 M_NOT_FOUND");
  await alice.put(`devices/${third.device}`, { display_name: "third" });
  await alice.put("devices/NONE", { display_name: "third" }, "404 M_NOT_FOUND");
  await alice.proven("DELETE", `devices/${third.device}`);
  const fourth = await alice.again();
  await alice.proven("POST", "delete_devices", { devices: [fourth.device] });
}

async function passwords() {
  const dave = await register("dave");
  const wish = { new_password: "lantern wombat drizzle quartz", logout_devices: true };
  await dave.proven("POST", "account/password", wish);
  dave.password = wish.new_password;
  await dave.again();
  await dave.post("account/password", { new_password: "1234", ...dave.proof() }, "400 M_WEAK_PASSWORD");
  await dave.post("logout/all");
  await dave.get("account/whoami", "401 M_UNKNOWN_TOKEN");
}

async function identifiers(alice) {
  const secret = { client_secret: "s", send_attempt: 1 };
  const email = { ...secret, email: "a@example.org" };
  const phone = { ...secret, country: "GB", phone_number: "07700900001" };
  for (const [medium, body] of [["email", email], ["msisdn", phone]]) {
    await ask("POST", `register/${medium}/requestToken`, { body, is: "403 M_THREEPID_DENIED" });
    await ask("POST", `account/password/${medium}/requestToken`, { body, is: "403 M_THREEPID_DENIED" });
    await alice.post(`account/3pid/${medium}/requestToken`, body, "400 M_THREEPID_MEDIUM_NOT_SUPPORTED");
  }
  await alice.get("account/3pid");
  const proof = { client_secret: "s", sid: "1", id_server: "x", id_access_token: "y" };
  await alice.post("account/3pid", { three_pid_creds: proof }, "403 M_THREEPID_AUTH_FAILED");
  await alice.post("account/3pid/add", proof, "403 M_THREEPID_DENIED");
  await alice.post("account/3pid/bind", proof, "403 M_THREEPID_DENIED");
  const gone = { medium: "email", address: "a@example.org" };
  await alice.post("account/3pid/delete", gone);
  await alice.post("account/3pid/unbind", gone);
}

async function administration(admin, alice, bob) {
  await admin.get(`admin/whois/${seg(alice.user)}`);
  await alice.get(`admin/whois/${seg(alice.user)}`);
  await bob.get(`admin/whois/${seg(alice.user)}`, "403 M_FORBIDDEN");
  const erin = await register("erin");
  for (const [kind, state] of [["suspend", "suspended"], ["lock", "locked"]]) {
    const path = `/_matrix/client/v1/admin/${kind}/${seg(erin.user)}`;
    await admin.get(path);
    await admin.put(path, { [state]: true });
    await admin.get(path);
    await admin.put(path, { [state]: false });
    await admin.put(path, {}, "400 M_MISSING_PARAM");
    await bob.get(path, "403 M_FORBIDDEN");
    await bob.put(path, { [state]: true }, "403 M_FORBIDDEN");
    const nobody = `/_matrix/client/v1/admin/${kind}/${seg("@nobody:localhost")}`;
    await admin.get(nobody, "404 M_NOT_FOUND");
    await admin.put(nobody, { [state]: true }, "404 M_NOT_FOUND");
  }
}

async function ending() {
  const frank = await register("frank");
  await frank.proven("POST", "account/deactivate", { erase: true });
  await frank.get("account/whoami", "401 M_UNKNOWN_TOKEN");
  const identifier = { type: "m.id.user", user: frank.user };
  const body = { type: "m.login.password", identifier, password: frank.password };
  await ask("POST", "login", { body, is: "403 M_FORBIDDEN" });
}
