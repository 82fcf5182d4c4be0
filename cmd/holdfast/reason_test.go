package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func environment(lines string) func(string) (string, bool) {
	variables := map[string]string{}
	for _, line := range strings.Fields(lines) {
		name, value, _ := strings.Cut(line, "=")
		variables[name] = value
	}
	return func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}
}

// The variables are those that the systems' own documentation lists.
func TestReasonOfCISystems(t *testing.T) {
	for name, c := range map[string]struct {
		env  string
		want registry.Reason
	}{
		"GitHub Actions": {
			"GITHUB_ACTIONS=true GITHUB_ACTOR=dana GITHUB_SHA=4f1d GITHUB_REF_NAME=main GITHUB_SERVER_URL=https://github.com GITHUB_REPOSITORY=a/b GITHUB_RUN_ID=7",
			registry.Reason{By: "dana (GitHub Actions)", Commit: "4f1d", Branch: "main", Run: "https://github.com/a/b/actions/runs/7"},
		},
		"GitHub Actions, pull request": {
			"GITHUB_ACTIONS=true GITHUB_HEAD_REF=fix GITHUB_REF_NAME=12/merge",
			registry.Reason{By: "GitHub Actions", Branch: "fix"},
		},
		"GitLab CI": {
			"GITLAB_CI=true GITLAB_USER_LOGIN=dana CI_COMMIT_SHA=4f1d CI_COMMIT_REF_NAME=main CI_JOB_URL=https://gitlab.com/a/b/-/jobs/7",
			registry.Reason{By: "dana (GitLab CI)", Commit: "4f1d", Branch: "main", Run: "https://gitlab.com/a/b/-/jobs/7"},
		},
		"Jenkins": {
			"JENKINS_URL=http://ci/ GIT_COMMIT=4f1d GIT_BRANCH=origin/main BUILD_URL=http://ci/job/b/7/",
			registry.Reason{By: "Jenkins", Commit: "4f1d", Branch: "origin/main", Run: "http://ci/job/b/7/"},
		},
		"Buildkite": {
			"BUILDKITE=true BUILDKITE_BUILD_CREATOR=dana BUILDKITE_COMMIT=4f1d BUILDKITE_BRANCH=main BUILDKITE_BUILD_URL=https://buildkite.com/a/b/builds/7",
			registry.Reason{By: "dana (Buildkite)", Commit: "4f1d", Branch: "main", Run: "https://buildkite.com/a/b/builds/7"},
		},
		"CircleCI": {
			"CIRCLECI=true CIRCLE_USERNAME=dana CIRCLE_SHA1=4f1d CIRCLE_TAG=v7 CIRCLE_BUILD_URL=https://circleci.com/gh/a/b/7",
			registry.Reason{By: "dana (CircleCI)", Commit: "4f1d", Branch: "v7", Run: "https://circleci.com/gh/a/b/7"},
		},
		"Bitbucket Pipelines": {
			"BITBUCKET_BUILD_NUMBER=7 BITBUCKET_STEP_TRIGGERER_UUID={1} BITBUCKET_COMMIT=4f1d BITBUCKET_BRANCH=main BITBUCKET_GIT_HTTP_ORIGIN=https://bitbucket.org/a/b",
			registry.Reason{By: "{1} (Bitbucket Pipelines)", Commit: "4f1d", Branch: "main", Run: "https://bitbucket.org/a/b/pipelines/results/7"},
		},
		"Azure Pipelines": {
			"TF_BUILD=True BUILD_REQUESTEDFOR=Dana BUILD_SOURCEVERSION=4f1d BUILD_SOURCEBRANCHNAME=main SYSTEM_COLLECTIONURI=https://dev.azure.com/a/ SYSTEM_TEAMPROJECT=b BUILD_BUILDID=7",
			registry.Reason{By: "Dana (Azure Pipelines)", Commit: "4f1d", Branch: "main", Run: "https://dev.azure.com/a/b/_build/results?buildId=7"},
		},
		"Woodpecker CI": {
			"CI=woodpecker DRONE=true CI_PIPELINE_NUMBER=7 CI_COMMIT_AUTHOR=dana CI_COMMIT_SHA=4f1d CI_COMMIT_BRANCH=main CI_PIPELINE_URL=https://ci/repos/1/pipeline/7",
			registry.Reason{By: "dana (Woodpecker CI)", Commit: "4f1d", Branch: "main", Run: "https://ci/repos/1/pipeline/7"},
		},
		"Drone": {
			"DRONE=true DRONE_BUILD_TRIGGER=dana DRONE_COMMIT_SHA=4f1d DRONE_COMMIT_BRANCH=main DRONE_BUILD_LINK=https://ci/a/b/7",
			registry.Reason{By: "dana (Drone)", Commit: "4f1d", Branch: "main", Run: "https://ci/a/b/7"},
		},
		"none": {"CI=true GITHUB_SHA=4f1d", registry.Reason{By: actor()}},
	} {
		t.Run(name, func(t *testing.T) {
			c1 := &cli{env: environment(c.env)}
			if diff := cmp.Diff(c.want, c1.reason(reasonFlags{})); diff != "" {
				t.Error(diff)
			}
			said := c.want
			said.By, said.Message = "me", "why"
			if diff := cmp.Diff(said, c1.reason(reasonFlags{by: "me", message: "why"})); diff != "" {
				t.Errorf("with flags: %s", diff)
			}
		})
	}
}

// Default text never makes a deployment fail, whatever it contains.
func TestReasonIsPrintable(t *testing.T) {
	for _, text := range []string{"a\x00b\nc\td", "\xff", "\x1b[31mred", strings.Repeat("é", registry.MaxReason)} {
		c := &cli{env: func(name string) (string, bool) { return text, name == "DRONE" || name == "DRONE_COMMIT_SHA" }}
		if got := c.reason(reasonFlags{}).Commit; len(got) > registry.MaxReason || strings.ContainsAny(got, "\x00\n\t\x1b") || !utf8.ValidString(got) || !strings.Contains(text, got) && got != "ab c d" && got != "[31mred" {
			t.Errorf("%q became %q", text, got)
		}
	}
	if _, err := parseNote(strings.Repeat("x", registry.MaxReason+1)); err == nil {
		t.Error("a message that is too long was taken")
	}
	if note, err := parseNote(" two\nlines "); err != nil || note != "two lines" {
		t.Errorf("%q, %v", note, err)
	}
}

func TestRollbacksInARow(t *testing.T) {
	main, other := holdfast.DefaultSide(), holdfast.Side{}
	entry := func(seq int64, kind registry.EntryKind, on holdfast.Side, minutes int) registry.HistoryEntry {
		return registry.HistoryEntry{Seq: seq, Kind: kind, Side: on, Stamp: time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC)}
	}
	last := entry(9, registry.KindRollback, main, 60)
	entries := []registry.HistoryEntry{
		entry(10, registry.KindActivate, main, 61), // made since
		last,
		entry(8, registry.KindActivate, other, 59),
		entry(7, registry.KindRollback, main, 50),
		entry(6, registry.KindRollback, main, 0),
		entry(5, registry.KindActivate, main, 0),
		entry(4, registry.KindRollback, main, 0),
	}
	var seqs []int64
	for _, e := range inARow(entries, last) {
		seqs = append(seqs, e.Seq)
	}
	if diff := cmp.Diff([]int64{9, 7, 6}, seqs); diff != "" {
		t.Error(diff)
	}
	entries[4].Stamp = entries[4].Stamp.Add(-11 * time.Minute)
	if row := inARow(entries, last); len(row) != 2 {
		t.Errorf("after more than an hour: %+v", row)
	}
}
