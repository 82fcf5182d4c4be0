package main

import (
	"fmt"
	"os"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/holdfast-web/holdfast/internal/registry"
)

// reasonFlags record the requester and the reason of a change. Every command that changes
// what is served has them.
type reasonFlags struct{ message, by string }

func (o *reasonFlags) flags(flags *pflag.FlagSet) {
	flags.Var(&value[string]{&o.message, parseNote, "text", ""}, "message", "why, for the history and for hooks")
	flags.Var(&value[string]{&o.by, parseNote, "name", ""}, "by", "who requests it (user@host, or the CI system's user)")
	configurable(flags, "by")
}

// parseNote reduces text from people and scripts to one line.
func parseNote(text string) (string, error) {
	note := oneLine(text)
	if len(note) > registry.MaxReason {
		return "", fmt.Errorf("want at most %d bytes, these are %d", registry.MaxReason, len(note))
	}
	return note, nil
}

// oneLine joins the words of text and drops unprintable characters.
func oneLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(clean), " ")
}

// ciSystem describes how to recognize a CI system and its variables. The other fields are
// texts in which $NAME is an environment variable; of several, the first one counts whose
// variables are all set.
type ciSystem struct {
	name, variable          string // variable is set wherever the system runs a job
	by, commit, branch, run []string
}

// ciSystems provide the defaults of a reason. Sources: each system's list of predefined
// variables. Woodpecker also sets Drone's variables, so it comes before Drone.
func ciSystems() []ciSystem {
	return []ciSystem{
		{
			"GitHub Actions", "GITHUB_ACTIONS",
			[]string{"$GITHUB_ACTOR"},
			[]string{"$GITHUB_SHA"},
			[]string{"$GITHUB_HEAD_REF", "$GITHUB_REF_NAME"},
			[]string{"$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"},
		},
		{
			"GitLab CI", "GITLAB_CI",
			[]string{"$GITLAB_USER_LOGIN"},
			[]string{"$CI_COMMIT_SHA"},
			[]string{"$CI_COMMIT_REF_NAME"},
			[]string{"$CI_JOB_URL"},
		},
		{
			"Jenkins", "JENKINS_URL",
			[]string{"$BUILD_USER_ID", "$CHANGE_AUTHOR"},
			[]string{"$GIT_COMMIT"},
			[]string{"$CHANGE_BRANCH", "$BRANCH_NAME", "$GIT_BRANCH"},
			[]string{"$BUILD_URL"},
		},
		{
			"Buildkite", "BUILDKITE",
			[]string{"$BUILDKITE_UNBLOCKER", "$BUILDKITE_BUILD_CREATOR"},
			[]string{"$BUILDKITE_COMMIT"},
			[]string{"$BUILDKITE_BRANCH"},
			[]string{"$BUILDKITE_BUILD_URL"},
		},
		{
			"CircleCI", "CIRCLECI",
			[]string{"$CIRCLE_USERNAME"},
			[]string{"$CIRCLE_SHA1"},
			[]string{"$CIRCLE_BRANCH", "$CIRCLE_TAG"},
			[]string{"$CIRCLE_BUILD_URL"},
		},
		{
			"Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER",
			[]string{"$BITBUCKET_STEP_TRIGGERER_UUID"},
			[]string{"$BITBUCKET_COMMIT"},
			[]string{"$BITBUCKET_BRANCH", "$BITBUCKET_TAG"},
			[]string{"$BITBUCKET_GIT_HTTP_ORIGIN/pipelines/results/$BITBUCKET_BUILD_NUMBER"},
		},
		{
			"Azure Pipelines", "TF_BUILD",
			[]string{"$BUILD_REQUESTEDFOR"},
			[]string{"$BUILD_SOURCEVERSION"},
			[]string{"$BUILD_SOURCEBRANCHNAME"},
			[]string{"$SYSTEM_COLLECTIONURI$SYSTEM_TEAMPROJECT/_build/results?buildId=$BUILD_BUILDID"},
		},
		{
			"Woodpecker CI", "CI_PIPELINE_NUMBER",
			[]string{"$CI_PIPELINE_AUTHOR", "$CI_COMMIT_AUTHOR"},
			[]string{"$CI_COMMIT_SHA"},
			[]string{"$CI_COMMIT_BRANCH", "$CI_COMMIT_TAG"},
			[]string{"$CI_PIPELINE_URL"},
		},
		{
			"Drone", "DRONE",
			[]string{"$DRONE_BUILD_TRIGGER", "$DRONE_COMMIT_AUTHOR"},
			[]string{"$DRONE_COMMIT_SHA"},
			[]string{"$DRONE_COMMIT_BRANCH", "$DRONE_TAG"},
			[]string{"$DRONE_BUILD_LINK"},
		},
	}
}

// reason completes the flags from the environment.
func (c *cli) reason(o reasonFlags) registry.Reason {
	r := registry.Reason{By: o.by, Message: o.message}
	for _, s := range ciSystems() {
		if text, ok := c.env(s.variable); !ok || text == "" {
			continue
		}
		r.Commit, r.Branch, r.Run = c.expand(s.commit), c.expand(s.branch), c.expand(s.run)
		if who := c.expand(s.by); r.By == "" && who != "" {
			r.By = clip(who + " (" + s.name + ")")
		} else if r.By == "" {
			r.By = s.name
		}
		break
	}
	if r.By == "" {
		r.By = actor()
	}
	return r
}

// expand returns the first text whose variables are all set.
func (c *cli) expand(texts []string) string {
	for _, text := range texts {
		complete := true
		expanded := os.Expand(text, func(name string) string {
			value, _ := c.env(name)
			complete = complete && value != ""
			return value
		})
		if complete {
			return clip(oneLine(expanded))
		}
	}
	return ""
}

// clip shortens default text to the registry's limit.
func clip(text string) string {
	for len(text) > registry.MaxReason {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// actor names the user that runs this command.
func actor() string {
	name := "uid " + fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return clip(oneLine(name))
}
