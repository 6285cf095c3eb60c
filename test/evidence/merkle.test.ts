import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { emptyRoot, isConsistent, isIncluded, leafHash, MerkleTree, nodeHash } from '../../runtime/evidence/merkle.ts';

/** The definition of RFC 6962 §2.1, word for word, to hold the fast one against. */
function rootByDefinition(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leafHash(leaves[0] ?? new Uint8Array());
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)));
}

function leavesOf(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(`entry ${index}`));
}

function treeOf(leaves: readonly Uint8Array[]): MerkleTree {
  const tree = new MerkleTree();
  for (const leaf of leaves) tree.append(leafHash(leaf));
  return tree;
}

test('roots are those of RFC 6962, at every size, also of a log that has grown since', () => {
  const leaves = leavesOf(70);
  const tree = treeOf(leaves);
  for (let size = 0; size <= 70; size += 1)
    assert.deepEqual(tree.root(size), Buffer.from(rootByDefinition(leaves.slice(0, size))));
});

test('the published test vectors of certificate transparency hold', () => {
  const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const roots = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  ];
  const tree = treeOf(inputs.map((hex) => Buffer.from(hex, 'hex')));
  for (const [size, root] of roots.entries()) assert.equal(Buffer.from(tree.root(size)).toString('hex'), root);
  assert.equal(
    Buffer.from(tree.root()).toString('hex'),
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  );
});

test('every entry of every size has an inclusion proof that verifies, for that entry, place and root only', () => {
  const leaves = leavesOf(40);
  const tree = treeOf(leaves);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(39), fc.nat(39), (size, at, other) => {
      const index = at % size;
      const leaf = leafHash(leaves[index] ?? new Uint8Array());
      const path = tree.inclusionProof(index, size);
      const signed = { size, root: tree.root(size) };
      assert.ok(isIncluded(leaf, index, path, signed));
      if (other !== index) assert.ok(!isIncluded(leaf, other, path, signed));
      if (size > 1) assert.ok(!isIncluded(leaf, index, path.slice(1), signed));
      assert.ok(!isIncluded(leaf, index, [...path, leaf], signed));
      assert.ok(!isIncluded(leafHash(Buffer.from('another')), index, path, signed));
      if (size > 1) assert.ok(!isIncluded(leaf, index, path, { size, root: tree.root(size - 1) }));
    }),
  );
});

test('a log that only grew can prove it from every earlier size, and a rewritten one cannot', () => {
  const leaves = leavesOf(40);
  const tree = treeOf(leaves);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.nat(39), (one, two, changed) => {
      const [from, to] = one < two ? [one, two] : [two, one];
      const older = { size: from, root: tree.root(from) };
      assert.ok(isConsistent(older, { size: to, root: tree.root(to) }, tree.consistencyProof(from, to)));
      const rewritten = treeOf(
        leaves.map((leaf, index) => (index === changed % from ? Buffer.from('rewritten') : leaf)),
      );
      const forged = { size: to, root: rewritten.root(to) };
      assert.ok(!isConsistent(older, forged, rewritten.consistencyProof(from, to)));
      assert.ok(!isConsistent(older, forged, tree.consistencyProof(from, to)));
    }),
  );
});

test('a flipped bit anywhere in a proof is noticed', () => {
  const leaves = leavesOf(33);
  const tree = treeOf(leaves);
  const signed = { size: 33, root: tree.root() };
  const path = tree.inclusionProof(5);
  for (let at = 0; at < path.length; at += 1) {
    const damaged = path.map((digest, index) =>
      index === at ? digest.map((byte, place) => byte ^ Number(place === 3)) : digest,
    );
    assert.ok(!isIncluded(leafHash(leaves[5] ?? new Uint8Array()), 5, damaged, signed));
  }
});

test('a tree cut back to an earlier size goes on as if the rest had never been', () => {
  const leaves = leavesOf(300);
  fc.assert(
    fc.property(fc.nat(300), fc.nat(40), (size, more) => {
      const tree = treeOf(leaves);
      tree.truncate(size);
      const added = leavesOf(more).map((leaf) => Buffer.concat([leaf, Buffer.from('x')]));
      for (const leaf of added) tree.append(leafHash(leaf));
      assert.deepEqual(tree.root(), treeOf([...leaves.slice(0, size), ...added]).root());
    }),
    { numRuns: 20 },
  );
});
