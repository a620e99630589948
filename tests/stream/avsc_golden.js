// Reads and writes golden messages with avsc, the Avro implementation of npm, and says where it sees something else than
// the JSON beside them. Usage: node avsc_golden.js AVSC_FOLDER SCHEMA GOLDEN_FOLDER
'use strict';
const fs = require('fs');
const path = require('path');

const [avscFolder, schemaPath, golden] = process.argv.slice(2);
const avro = require(avscFolder);
const type = avro.Type.forSchema(JSON.parse(fs.readFileSync(schemaPath, 'utf8')), {wrapUnions: true});

let failed = 0;
const names = fs.readdirSync(golden).filter((name) => name.endsWith('.bin'));
for (const name of names) {
  const body = fs.readFileSync(path.join(golden, name)).subarray(10);  // behind marker and fingerprint
  const json = fs.readFileSync(path.join(golden, name.replace('.bin', '.json')), 'utf8');
  const read = JSON.parse(type.toString(type.fromBuffer(body)));
  if (JSON.stringify(read) !== JSON.stringify(JSON.parse(json))) {
    console.error(`${name}: avsc reads ${JSON.stringify(read)}`);
    failed++;
  }
  if (!type.toBuffer(type.fromString(json)).equals(body)) {
    console.error(`${name}: avsc writes other bytes`);
    failed++;
  }
}
console.log(`${names.length} messages, ${failed} differences`);
process.exit(failed || !names.length ? 1 : 0);
