// Mounts the application and keeps the service worker's token current.

import "matrix-js-sdk/src/browser-index";
import React from "react";
import ReactDOM from "react-dom";
import BasePlatform from "matrix-react-sdk/src/BasePlatform";
import MatrixChat from "matrix-react-sdk/src/components/structures/MatrixChat";
import PlatformPeg from "matrix-react-sdk/src/PlatformPeg";
import SdkConfig from "matrix-react-sdk/src/SdkConfig";
import { MatrixClientPeg } from "matrix-react-sdk/src/MatrixClientPeg";
import { setLanguage } from "matrix-react-sdk/src/languageHandler";
import { setTheme } from "matrix-react-sdk/src/theme";
import AutoDiscoveryUtils from "matrix-react-sdk/src/utils/AutoDiscoveryUtils";

class StoryPlatform extends BasePlatform {
  constructor() {
    super();
  }
  getConfig = async () => SdkConfig.get();
  getDefaultDeviceDisplayName = () => "story, in a browser";
  getHumanReadableName = () => "Story";
  getAppVersion = async () => "story";
  requestNotificationPermission = async () => "denied";
  reload = () => location.reload();
}

export async function mount(server) {
  PlatformPeg.set(new StoryPlatform());
  await navigator.serviceWorker.register("media.js");
  setInterval(() => {
    const token = MatrixClientPeg.get()?.getAccessToken();
    if (token) navigator.serviceWorker.controller?.postMessage({ token, server });
  }, 200);
  await setLanguage("en");
  await setTheme("light");
  const validated = await AutoDiscoveryUtils.validateServerConfigWithStaticUrls(server);
  SdkConfig.add({ validated_server_config: validated });
  const [, fragment = ""] = location.hash.split("#/");
  ReactDOM.render(
    React.createElement(MatrixChat, {
      onNewScreen: (screen) => history.replaceState(null, "", `${location.pathname}${location.search}#/${screen}`),
      onTokenLoginCompleted: () => {},
      realQueryParams: {},
      startingFragmentQueryParams: {},
      initialScreenAfterLogin: { screen: fragment, params: {} },
      config: SdkConfig.get(),
      defaultDeviceDisplayName: "story, in a browser",
      enableGuest: false,
    }),
    document.getElementById("matrixchat"),
  );
}
