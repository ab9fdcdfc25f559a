"use strict";
const form = document.getElementById("form");
form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const say = document.getElementById("say");
    say.textContent = "";
    const given = Object.fromEntries(new FormData(form));
    const body = {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: given.user },
        password: given.password,
    };
    const query = new URLSearchParams(location.search);
    for (const name of ["device_id", "initial_device_display_name"]) {
        if (query.has(name)) body[name] = query.get(name);
    }
    const base = location.pathname.split("/_matrix/")[0];
    try {
        const answer = await fetch(base + "/_matrix/client/v3/login", { method: "POST", body: JSON.stringify(body) });
        const said = await answer.json();
        if (!answer.ok) {
            say.textContent = said.error;
            return;
        }
        form.hidden = true;
        say.textContent = "You are logged in. You may close this window.";
        if (window.matrixLogin && window.matrixLogin.onLogin) window.matrixLogin.onLogin(said);
        else if (window.onLogin) window.onLogin(said);
    } catch (_) {
        say.textContent = "The server cannot be reached.";
    }
});
