// A node program: parse text into objects and maps, strings that come and go, collections, and a
// digest of everything.
//
//   node objects.js CORPUS [ROUNDS]
'use strict';

const crypto = require('crypto');
const fs = require('fs');

// A small generator with a known sequence: Math.random has none.
let state = 20130214;
function random(bound) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 4294967296) * bound);
}

function parse(text) {
  return text.split('\n\n').map((paragraph, number) => {
    const record = {number, fields: new Map(), lines: []};
    for (const line of paragraph.split('\n')) {
      const at = line.indexOf(': ');
      if (at > 0 && at < 24) {
        // Copied out, or each slice would hold on to the whole text.
        record.fields.set(line.slice(0, at), Buffer.from(line.slice(at + 2)).toString());
      } else {
        record.lines.push({length: line.length, text: Buffer.from(line).toString()});
      }
    }
    return record;
  });
}

function buildIndex(records) {
  const index = new Map();
  for (const record of records) {
    for (const [key, value] of record.fields) {
      const name = key + '=' + value.slice(0, 30);
      if (!index.has(name)) index.set(name, []);
      index.get(name).push(record.number);
    }
  }
  return index;
}

function main() {
  const rounds = Number(process.argv[3] || 12);
  const records = parse(fs.readFileSync(process.argv[2], 'latin1'));
  const index = buildIndex(records);
  const names = [...index.keys()];
  const digest = crypto.createHash('sha256');
  for (let turn = 0; turn < rounds; ++turn) {
    for (let i = 0; i < 4000; ++i) {
      const name = names[random(random(names.length) + 1)];
      const record = records[index.get(name)[0]];
      digest.update(name + record.lines.length);
    }
    // What lives for one round only keeps the collector busy.
    const passing = [];
    for (let i = 0; i < 20000; ++i) {
      passing.push({turn, text: 'passing ' + (turn * 20000 + i), more: [i, i + 1]});
    }
    digest.update(passing[random(passing.length)].text);
    for (let i = 0; i < 500; ++i) {
      records[random(records.length)].fields.set('Seen', 'in round ' + turn);
    }
  }
  for (const record of records) {
    for (const [key, value] of record.fields) digest.update(key + value);
    for (const line of record.lines) digest.update(line.text);
  }
  for (const name of names) digest.update(name + index.get(name).join());
  console.log(`${records.length} records, ${names.length} names`);
  console.log('digest', digest.digest('hex'));
}

main();
