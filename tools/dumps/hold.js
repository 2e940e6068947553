// Holds package descriptions as objects, as a node service that caches JSON would.
const fs = require('fs');
const held = [];
for (let copy = 0; copy < Number(process.argv[3]); ++copy) {
  for (const line of fs.readFileSync(process.argv[2], 'utf8').split('\n')) {
    if (line === '') continue;
    const record = JSON.parse(line);
    record.dependsList = (record.Depends || '').split(',').map((d) => d.trim());
    held.push(record);
  }
}
const byName = new Map(held.map((record) => [record.Package, record]));
console.log('ready');
process.stdin.resume();
process.stdin.on('end', () => process.exit(byName.size === 0 ? 1 : 0));
