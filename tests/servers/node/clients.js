// The doubles of MongoDB and Elasticsearch with the clients that their makers publish for Node.
// Usage: node clients.js MODULES mongodb URL | elasticsearch URL
'use strict';
const assert = require('assert');
const path = require('path');

const [modules, system, url] = process.argv.slice(2);
const load = (name) => require(path.join(modules, name));

async function mongodb() {
  const {MongoClient} = load('mongodb');
  const client = await new MongoClient(url, {serverSelectionTimeoutMS: 20000}).connect();
  const frames = client.db('sightglass_node').collection('frames');
  await frames.drop().catch(() => {});
  await frames.createIndex({source_id: 1, seq: 1}, {unique: true, name: 'key'});
  const operations = [];
  for (let i = 0; i < 500; ++i) {
    operations.push({updateOne: {filter: {_id: `u-${i}`}, update: {$set: {source_id: 'cam', seq: i, at: new Date(i)}}, upsert: true}});
  }
  const first = await frames.bulkWrite(operations, {ordered: false, writeConcern: {w: 'majority'}});
  assert.strictEqual(first.upsertedCount, 500);
  const second = await frames.bulkWrite(operations, {ordered: false});
  assert.deepStrictEqual([second.matchedCount, second.modifiedCount], [500, 0]);
  const failed = await frames.insertMany([{_id: 'u-1'}, {_id: 'x', seq: 1000}, {_id: 'y', source_id: 'cam', seq: 3}], {ordered: false})
      .then(() => null, (error) => error);
  assert.deepStrictEqual(failed.writeErrors.map((error) => [error.index, error.code]), [[0, 11000], [2, 11000]]);
  assert.strictEqual(await frames.countDocuments({}), 501);
  const found = await frames.find({seq: {$gte: 100, $lt: 400}}).sort({seq: -1}).batchSize(50).toArray();
  assert.deepStrictEqual([found.length, found[0].seq, found[0].at.getTime()], [300, 399, 399]);
  await frames.drop();
  await client.close();
}

async function elasticsearch() {
  const {Client} = load('@elastic/elasticsearch');
  const client = new Client({node: url, maxRetries: 0});
  const index = 'sightglass-node-2026.01.02';
  await client.indices.delete({index, ignore_unavailable: true});
  await client.indices.putIndexTemplate({
    name: 'sightglass-node', index_patterns: ['sightglass-node-*'], priority: 501,
    template: {mappings: {dynamic: 'strict', properties: {source_id: {type: 'keyword'}, seq: {type: 'long'}}}},
  });
  const documents = Array.from({length: 500}, (_, i) => ({source_id: `cam-${i % 2}`, seq: i}));
  const result = await client.helpers.bulk({
    datasource: documents, flushBytes: 10000,
    onDocument: (document) => ({create: {_index: index, _id: `u-${document.seq}`}}),
  });
  assert.deepStrictEqual([result.successful, result.failed], [500, 0]);
  const again = await client.bulk({operations: [
    {create: {_index: index, _id: 'u-1'}}, documents[1], {create: {_index: index, _id: 'bad'}}, {colour: 'red'},
    {create: {_index: index, _id: 'new'}}, {seq: 500}]});
  assert.deepStrictEqual(again.items.map((item) => item.create.status), [409, 400, 201]);
  await client.indices.refresh({index});
  assert.strictEqual((await client.count({index})).count, 501);
  const found = await client.search({index, query: {term: {source_id: 'cam-1'}}, size: 1000});
  assert.strictEqual(found.hits.total.value, 250);
  await client.indices.delete({index});
  await client.close();
}

({mongodb, elasticsearch})[system]().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
