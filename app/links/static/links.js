"use strict";

// What the link carries is used only when somebody presses the button. It leaves the address bar at once, so that it is
// not in the history of the browser.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);

const form = document.querySelector("form");
const outcome = document.querySelector("#outcome");

function say(text) {
  outcome.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
}

// The answer's data. Throws an Error whose message is for people.
async function post(path, body, accessToken) {
  const headers = { "Content-Type": "application/json" };
  if (accessToken) headers.Authorization = `Bearer ${accessToken}`;
  let answer;
  try {
    const response = await fetch(new URL(`../api/v1/${path}`, location.href), {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
    });
    answer = await response.json();
  } catch {
    throw new Error("The server does not answer. Try again.");
  }
  if (answer.success) return answer.data;
  const details = answer.error.details.map((each) => `${each.field}: ${each.message}`);
  throw Object.assign(new Error([answer.error.message, ...details].join(" ")), { code: answer.error.code });
}

// There is no dashboard to go on to: what programs need to call the API is shown here.
function showTokens(data) {
  say(`You are signed in as ${data.user.email}. Whoever has these tokens is you: keep them to yourself.`);
  for (const [title, value] of [
    ["Access token", data.tokens.access_token],
    ["Refresh token", data.tokens.refresh_token],
  ]) {
    const label = Object.assign(document.createElement("label"), { textContent: title });
    label.append(Object.assign(document.createElement("textarea"), { readOnly: true, value }));
    outcome.append(label);
  }
}

const actions = {
  "magic-link": async () => showTokens(await post("auth/magic-links/consume", { token })),
  "password-reset": async (fields) =>
    showTokens(await post("auth/password-resets/consume", { token, password: fields.password })),
  // Whoever is invited signs in first, or makes the account that the invitation is for.
  invitation: async (fields, chosen) => {
    const { email, password, name } = fields;
    const { tokens } =
      chosen === "register"
        ? await post("auth/register", { email, password, name })
        : await post("auth/login", { email, password });
    await post("invitations/accept", { token }, tokens.access_token);
    // What was set before the address was proved could be somebody else's, and counts no longer.
    const how = chosen === "register" ? "To sign in, ask for a link by mail or for a new password." : "";
    say(`You are a member of the workspace now. ${how}`);
  },
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = event.submitter?.value ?? "";
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => (button.disabled = true));
  say("One moment …");
  try {
    await actions[document.body.dataset.page](Object.fromEntries(new FormData(form)), chosen);
    form.hidden = true;
  } catch (error) {
    say(error.message);
    buttons.forEach((button) => (button.disabled = false));
  }
});

if (!token) {
  form.hidden = true;
  say("This link is not complete: copy all of it from the mail.");
}
