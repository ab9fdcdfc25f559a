"use strict";
const form = document.getElementById("form");
function done() {
    form.hidden = true;
    document.getElementById("say").textContent = "Done. You may close this window.";
    if (window.onAuthDone) {
        window.onAuthDone();
    } else if (window.opener && window.opener.postMessage) {
        window.opener.postMessage("authDone", "*");
    }
}
form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const say = document.getElementById("say");
    say.textContent = "";
    const body = Object.fromEntries(new FormData(form));
    try {
        const answer = await fetch(location.href, { method: "POST", body: JSON.stringify(body) });
        if (answer.ok) {
            done();
        } else {
            say.textContent = (await answer.json()).error;
        }
    } catch (_) {
        say.textContent = "The server cannot be reached.";
    }
});
