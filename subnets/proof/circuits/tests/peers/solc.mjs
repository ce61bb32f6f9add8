// Compiles a contract with solc, which is installed in the directory of the first argument. Reads {"source", "contract"}
// from standard input and prints the contract's code, its functions' selectors, and the compiler's messages.

import { createRequire } from "node:module";
import { join } from "node:path";
import { text as read } from "node:stream/consumers";

const need = createRequire(join(process.argv[2], "package.json"));
const solc = need("solc");

const { source, contract } = JSON.parse(await read(process.stdin));
const settings = {
    optimizer: { enabled: true },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"] } },
};
const input = { language: "Solidity", sources: { "verifier.sol": { content: source } }, settings };
const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
const evm = contracts?.["verifier.sol"]?.[contract]?.evm;
const answer = {
    code: evm?.bytecode.object,
    deployed: evm?.deployedBytecode.object,
    selectors: evm?.methodIdentifiers,
    messages: errors.map((error) => error.formattedMessage),
};
console.log(JSON.stringify(answer));
