// Element Web's interface in a browser, with Alice's phone and Bob played by matrix-js-sdk devices. Every step is
// run and leaves a screenshot; a failed one is reported and the story goes on.

import "../js/platform.js";

const { mkdir } = await import("node:fs/promises");
const { join } = await import("node:path");
const { picture, decrypt } = await import("../js/attachment.js");
const { step, summary, until, expect } = await import("../js/check.js");
const { secureBackup } = await import("../js/backup.js");
const { register } = await import("../js/device.js");
const { url } = await import("../js/server.js");
const { emojiAsTheOtherDevice } = await import("./verify.js");
const { serve, openBrowser } = await import("./pages.js");

const [root] = process.argv.slice(2);
const shots = join(process.env.CLIENTS_OUT ?? root, "screenshots");
const suffix = Date.now().toString(36);
const password = "wombat lantern quartz 7 drizzle envoy";
await mkdir(shots, { recursive: true });

const origin = await serve(root);
const { page, close } = await openBrowser();
const complaints = [];
page.on("pageerror", (error) => complaints.push(`page: ${error.message}`));
page.on("response", async (response) => {
  if (response.status() < 400 || !response.url().startsWith(url)) return;
  const body = await response.text().catch(() => "");
  complaints.push(`${response.request().method()} ${new URL(response.url()).pathname} -> ${response.status()} ${body}`);
});
page.on("requestfailed", (request) => {
  const { pathname, origin: to } = new URL(request.url());
  complaints.push(`${request.method()} ${to === url ? pathname : request.url()} -> ${request.failure()?.errorText}`);
});

let shot = 0;
/** A step with a picture of the page after it and, when it fails, what the browser complained about. */
async function scene(name, action) {
  complaints.length = 0;
  await step(name, async () => {
    try {
      await action();
    } catch (error) {
      const seen = [...new Set(complaints)].map((line) => `\n       ${line.slice(0, 300)}`).join("");
      throw new Error(`${error.message.split("\n")[0]}${seen}`);
    } finally {
      shot += 1;
      await page.screenshot({ path: join(shots, `${String(shot).padStart(2, "0")}-${name.replace(/\W+/g, "-")}.png`) });
    }
  });
}

const button = (name) => page.getByRole("button", { name, exact: true });
const message = (text) => page.locator(".mx_EventTile_line", { hasText: text }).first();
let phone;
let bob;
let roomId;
let said;

await step("alice's phone and bob share an encrypted room of version 11", async () => {
  phone = await register(`ada-${suffix}`, password);
  bob = await register(`bo-${suffix}`, password);
  for (const device of [phone, bob]) {
    await device.start();
    await device.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: device.uia });
  }
  await secureBackup(phone);
  const created = await phone.client.createRoom({
    name: "The story",
    room_version: "11",
    preset: "private_chat",
    invite: [bob.userId],
    initial_state: [
      { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
    ],
  });
  roomId = created.room_id;
  await bob.room(roomId, "invite");
  await bob.client.joinRoom(roomId);
  await bob.encryptedRoom(roomId);
  const room = await phone.encryptedRoom(roomId);
  await until("bob has joined", () => room.getMember(bob.userId)?.membership === "join");
  said = await bob.say(roomId, "said before the browser was there");
  await phone.hears(roomId, said, "said before the browser was there");
  await until("the key is in the backup", async () => {
    const { count } = await phone.client.http.authedRequest("GET", "/room_keys/version");
    return count > 0;
  });
});

await scene("the login form comes up", async () => {
  await page.goto(`${origin}/?server=${encodeURIComponent(url)}#/login`);
  await page.locator("input[name=username]").waitFor();
});

await scene("alice logs in", async () => {
  await page.locator("input[name=username]").fill(phone.localpart);
  await page.locator("input[name=password]").fill(password);
  await button("Sign in").click();
  await button("Verify with another device").waitFor();
});

await scene("the browser is verified by the phone", async () => {
  await button("Verify with another device").click();
  await emojiAsTheOtherDevice(phone, async () => {
    await page.locator(".mx_VerificationShowSas_emojiSas_block").first().waitFor();
    const shown = await page.locator(".mx_VerificationShowSas_emojiSas_label").allInnerTexts();
    await button("They match").click();
    return shown;
  });
  await button("Done").or(button("Got it")).first().click();
  await page.getByRole("treeitem", { name: /The story/ }).waitFor();
});

await scene("the room opens and history is read", async () => {
  await page.getByRole("treeitem", { name: /The story/ }).click();
  await message("said before the browser was there").waitFor();
});

await scene("a new message from bob is read", async () => {
  await bob.say(roomId, "hello browser");
  await message("hello browser").waitFor();
});

await scene("a message from the browser is read by bob", async () => {
  const composer = page.locator(".mx_BasicMessageComposer_input");
  await composer.click();
  await composer.pressSequentially("hello from the browser");
  await composer.press("Enter");
  await message("hello from the browser").waitFor();
  await bobReads("hello from the browser");
});

await scene("a picture from the browser is read by bob", async () => {
  const bytes = picture(320);
  const files = { name: "gradient.png", mimeType: "image/png", buffer: bytes };
  await page.locator(".mx_MessageComposer input[type=file]").first().setInputFiles(files);
  await button("Upload").click();
  const content = await bobReads("gradient.png");
  const download = bob.client.mxcUrlToHttp(content.file.url, undefined, undefined, undefined, false, true, true);
  const answer = await fetch(download, { headers: { Authorization: `Bearer ${bob.client.getAccessToken()}` } });
  const picked = await decrypt(Buffer.from(await answer.arrayBuffer()), content.file);
  expect("the picture byte for byte", picked.equals(bytes));
});

await scene("the picture is shown", () => pictureIsShown());

await scene("after a reload everything is still there", async () => {
  await page.reload();
  await page.getByRole("treeitem", { name: /The story/ }).click();
  await message("hello from the browser").waitFor();
  await pictureIsShown();
});

await scene("alice logs out", async () => {
  await button("User menu").click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  const anyway = page.getByRole("button", { name: /^(Sign out|I don't want my encrypted messages)$/ });
  const login = page.locator("input[name=username]");
  await anyway.or(login).first().waitFor();
  if (await anyway.count()) await anyway.first().click();
  await login.waitFor();
  await until("the phone is the only device", async () => {
    const { devices } = await phone.client.getDevices();
    return devices.length === 1;
  });
});

await close();
process.exit(summary() ? 0 : 1);

async function bobReads(text) {
  const room = await bob.room(roomId);
  const event = await until(`bob reads “${text}”`, () =>
    room.getLiveTimeline().getEvents().find((one) => one.getContent().body === text),
  );
  expect("it to be encrypted", event.isEncrypted());
  return event.getContent();
}

async function pictureIsShown() {
  const shown = page.locator(".mx_MImageBody img.mx_MImageBody_thumbnail").first();
  await shown.waitFor();
  await until("the picture has its pixels", () => shown.evaluate((image) => image.complete && image.naturalWidth > 0));
}
