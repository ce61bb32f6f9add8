// Prints the tokens of texts: node tokenize.mjs FILE.gguf '["text", …]'. Needs node-llama-cpp.
import {getLlama} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2], vocabOnly: true});
const texts = JSON.parse(process.argv[3]);
console.log(JSON.stringify(texts.map((text) => [...model.tokenize(text, false)])));
process.exit(0);
