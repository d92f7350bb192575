"use strict";
const { workspace, window } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = async () => {
  const command = workspace.getConfiguration("bpfsmith").get("command");
  client = new LanguageClient("bpfsmith", { command, args: ["lsp"] }, { documentSelector: [{ language: "appnet" }, { language: "probe" }] });
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(`bpfsmith: ${command} lsp does not start: ${error.message}. Try: pipx install 'bpfsmith[lsp]'`);
  }
};

exports.deactivate = () => client?.stop();
