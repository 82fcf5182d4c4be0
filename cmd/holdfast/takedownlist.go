package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// takedownDoc describes takedowns; digests nil: all.
func (c *cli) takedownDoc(ctx context.Context, b *backends, down *holdfast.Takedowns, digests []holdfast.Digest) (*takedownDoc, error) {
	infos, err := b.registry.TakedownInfos(ctx, down)
	if err != nil {
		return nil, err
	}
	doc := &takedownDoc{Takedowns: []takenDown{}}
	for i, t := range down.All() {
		if digests != nil && !slices.Contains(digests, t.Digest) {
			continue
		}
		one := takenDown{Digest: t.Digest, Allowed: t.Allowed, Removed: t.Removed, At: infos[i].At, By: infos[i].By, Message: infos[i].Message, Found: infos[i].Found, More: infos[i].More}
		if one.Found == nil {
			one.Found = []registry.TakedownFound{}
		}
		doc.Takedowns = append(doc.Takedowns, one)
	}
	return doc, nil
}

func (c *cli) listTakedowns(ctx context.Context, b *backends) error {
	down, err := b.registry.Takedowns(ctx)
	if err != nil {
		return err
	}
	doc, err := c.takedownDoc(ctx, b, down, nil)
	if err != nil {
		return err
	}
	nodes, err := b.registry.Nodes(ctx)
	if err != nil {
		return err
	}
	latest, _ := registry.Latest(nodes)
	doc.Nodes = reportOf(latest, lacksTakedown(down))
	c.ui.report(doc)
	if len(doc.Takedowns) == 0 {
		c.ui.say("nothing is taken down")
		return nil
	}
	for i := range doc.Takedowns {
		c.tellTakedown(&doc.Takedowns[i])
	}
	if len(doc.Nodes.Lagging) > 0 {
		c.tellLagging(doc.Nodes.Lagging)
	}
	return nil
}

func (c *cli) tellTakedown(t *takenDown) {
	state := "taken down"
	if t.Allowed {
		state = "allowed again"
	}
	c.ui.say("%s  %s %s%s", bold.paint(t.Digest.String(), c.ui.outColor), state, humanTime(t.At, time.Now()), byWhom(t.By))
	if t.Message != "" {
		c.ui.say("  %s", t.Message)
	}
	c.ui.say("  %s", foundIn(t.Found, t.More))
	if !t.Removed && !c.private() {
		c.ui.say("  %s", yellow.paint("not yet deleted from the store; the leading node does that once it can", c.ui.outColor))
	}
}

func byWhom(by string) string {
	if by == "" {
		return ""
	}
	return " by " + by
}

// foundIn names releases with the paths of a file.
func foundIn(found []registry.TakedownFound, more int) string {
	if len(found) == 0 {
		return "no release has such a file"
	}
	const most = 6
	var texts []string
	for _, f := range found[:min(len(found), most)] {
		texts = append(texts, fmt.Sprintf("%s@%s (%s)", f.App, f.Release, some(f.Paths, 3)))
	}
	if more += len(found) - len(texts); more > 0 {
		texts = append(texts, count(more, "more release"))
	}
	return strings.Join(texts, ", ")
}

// lacksTakedown says why a node has not removed all that is down.
func lacksTakedown(down *holdfast.Takedowns) func(registry.NodeInfo) string {
	version := programVersion()
	return func(n registry.NodeInfo) string {
		switch {
		case n.TakenDown >= down.Seq():
			return ""
		case n.Version != version:
			return fmt.Sprintf("runs version %s and has not confirmed: a version without takedowns still serves the bytes, update it", n.Version)
		}
		return "has not deleted the bytes from its memory and disk yet"
	}
}
