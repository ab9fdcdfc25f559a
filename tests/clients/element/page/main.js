// Element Web without its welcome page: the configuration first, as the rest reads it while it loads.

import SdkConfig from "matrix-react-sdk/src/SdkConfig";

const server = new URLSearchParams(location.search).get("server") ?? localStorage.getItem("story_server");
localStorage.setItem("story_server", server);

SdkConfig.put({
  brand: "Element",
  default_server_config: { "m.homeserver": { base_url: server, server_name: "localhost" } },
  default_theme: "light",
  disable_guests: true,
  disable_custom_urls: false,
  show_labs_settings: false,
  integrations_ui_url: "",
  integrations_rest_url: "",
  setting_defaults: { "UIFeature.urlPreviews": false },
});

const { mount } = await import("./mount.js");
await mount(server);
