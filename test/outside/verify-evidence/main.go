// Judges a Glovebox evidence log and receipts with golang.org/x/mod, the code that Go's own checksum database uses.
// Usage: verify LOG-FOLDER [RECEIPT-FILE…]. The folder holds vkey, checkpoint and tile/; a receipt is a C2SP tlog-proof.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: verify LOG-FOLDER [RECEIPT-FILE…]", nil)
	}
	folder := os.Args[1]
	vkey, err := os.ReadFile(filepath.Join(folder, "vkey"))
	fail("vkey", err)
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	fail("vkey", err)
	checkpoint, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	fail("checkpoint", err)
	tree, err := open(checkpoint, verifier)
	fail("checkpoint", err)
	fail("entries", checkEntries(folder, tree))
	fail("consistency", checkConsistency(folder, tree))
	for _, file := range os.Args[2:] {
		fail(file, checkReceipt(file, verifier))
	}
	fmt.Printf("OK %s size %d receipts %d\n", verifier.Name(), tree.N, len(os.Args)-2)
}

func fail(what string, err error) {
	if err != nil {
		fmt.Printf("FAIL %s: %v\n", what, err)
		os.Exit(1)
	}
}

func open(checkpoint []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// reader serves hash tiles; tlog.TileHashReader authenticates them against the signed root.
type reader struct{ folder string }

func (r reader) Height() int                         { return 8 }
func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(r.folder, strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func checkEntries(folder string, tree tlog.Tree) error {
	if tree.N == 0 {
		return nil
	}
	hashes := tlog.TileHashReader(tree, reader{folder})
	index := int64(0)
	for bundle := int64(0); bundle*256 < tree.N; bundle++ {
		tile := tlog.Tile{H: 8, L: -1, N: bundle, W: int(min64(256, tree.N-bundle*256))}
		bytes, err := os.ReadFile(filepath.Join(folder, strings.Replace(tile.Path(), "tile/8/data", "tile/entries", 1)))
		if err != nil {
			return err
		}
		var places []int64
		var leaves []tlog.Hash
		for len(bytes) > 0 {
			if len(bytes) < 2 || len(bytes) < 2+int(binary.BigEndian.Uint16(bytes)) {
				return fmt.Errorf("bundle %d is cut short", bundle)
			}
			length := int(binary.BigEndian.Uint16(bytes))
			leaves = append(leaves, tlog.RecordHash(bytes[2:2+length]))
			places = append(places, tlog.StoredHashIndex(0, index))
			bytes = bytes[2+length:]
			index++
		}
		stored, err := hashes.ReadHashes(places)
		if err != nil {
			return err
		}
		for at := range stored {
			if stored[at] != leaves[at] {
				return fmt.Errorf("entry %d is not what was signed", bundle*256+int64(at))
			}
		}
	}
	if index != tree.N {
		return fmt.Errorf("%d entries, %d were signed", index, tree.N)
	}
	return nil
}

// checkConsistency reads consistency.json, when there is one: [{size, root, path}] of earlier checkpoints.
func checkConsistency(folder string, tree tlog.Tree) error {
	bytes, err := os.ReadFile(filepath.Join(folder, "consistency.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var earlier []struct {
		Size int64
		Root string
		Path []string
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bytes, &earlier); err != nil {
		return err
	}
	for _, one := range earlier {
		root, err := tlog.ParseHash(one.Root)
		if err != nil {
			return err
		}
		var proof tlog.TreeProof
		for _, text := range one.Path {
			hash, err := tlog.ParseHash(text)
			if err != nil {
				return err
			}
			proof = append(proof, hash)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, one.Size, root); err != nil {
			return fmt.Errorf("from %d: %w", one.Size, err)
		}
	}
	return nil
}

func checkReceipt(file string, verifier note.Verifier) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, checkpoint, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	tree, err := open([]byte(checkpoint), verifier)
	if err != nil {
		return err
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func min64(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
