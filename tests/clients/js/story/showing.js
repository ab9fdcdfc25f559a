// Pictures: an encrypted one with its thumbnail, and an avatar that the server makes a thumbnail of.

import { decrypt, dimensions, encrypt, picture } from "../attachment.js";
import { step, same, expect, until } from "../check.js";
import { recordingFetch } from "../wire.js";

export async function showing(cast) {
  const { alice, bob, roomId } = cast;

  await step("an encrypted picture with its thumbnail", async () => {
    const [large, small] = [picture(300), picture(60)];
    const [file, thumbnail] = [await upload(alice, large), await upload(alice, small)];
    const sent = await alice.client.sendMessage(roomId, {
      msgtype: "m.image",
      body: "gradient.png",
      file,
      info: {
        mimetype: "image/png",
        w: 300,
        h: 300,
        size: large.length,
        thumbnail_file: thumbnail,
        thumbnail_info: { mimetype: "image/png", w: 60, h: 60, size: small.length },
      },
    });
    const content = (await bob.hears(roomId, sent.event_id, "gradient.png")).getContent();
    const picked = await decrypt((await download(bob, content.file.url)).bytes, content.file);
    expect("the picture byte for byte", picked.equals(large));
    const shown = content.info.thumbnail_file;
    expect("the thumbnail byte for byte", (await decrypt((await download(bob, shown.url)).bytes, shown)).equals(small));
  });

  await step("an avatar, and the server's thumbnail of it", async () => {
    const { content_uri: uri } = await alice.client.uploadContent(picture(300), { type: "image/png", name: "me.png" });
    await alice.client.setAvatarUrl(uri);
    const room = await bob.room(roomId);
    await until("bob sees the avatar", () => room.getMember(alice.userId)?.getMxcAvatarUrl() === uri);
    const whole = await download(bob, uri);
    same("its type", whole.type, "image/png");
    same("its width", dimensions(whole.bytes)[0], 300);
    const scaled = await download(bob, uri, [96, 96, "scale"]);
    expect("a smaller picture", dimensions(scaled.bytes)[0] < 300);
  });

  await step("media is not given out without a token", async () => {
    const { content_uri: uri } = await alice.client.uploadContent(picture(20), { type: "image/png" });
    const answer = await recordingFetch(bob.client.mxcUrlToHttp(uri, undefined, undefined, undefined, false, true, true));
    same("status", answer.status, 401);
  });
}

async function upload(device, plain) {
  const { bytes, file } = await encrypt(plain);
  const { content_uri: url } = await device.client.uploadContent(Buffer.from(bytes), {
    type: "application/octet-stream",
    includeFilename: false,
  });
  return { ...file, url };
}

async function download(device, uri, thumbnail = []) {
  const url = device.client.mxcUrlToHttp(uri, ...Object.assign([undefined, undefined, undefined], thumbnail), false, true, true);
  const answer = await recordingFetch(url, {
    headers: { Authorization: `Bearer ${device.client.getAccessToken()}` },
  });
  if (!answer.ok) throw new Error(`download answered ${answer.status}`);
  return {
    bytes: Buffer.from(await answer.arrayBuffer()),
    type: answer.headers.get("content-type"),
  };
}
