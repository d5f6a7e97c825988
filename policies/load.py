"""YAML text to ``Policy``. Everything wrong with the text is reported at once, each problem with its line and
column.

This module knows YAML and refuses its dangerous parts (aliases, anchors, tags, several documents, excess size
or depth); ``schema`` knows the policy language. YAML's own guesses at types are not used: ``off`` is a word
here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml

from policies.errors import PolicyInvalid, PolicyProblem, PolicySyntaxError
from policies.located import Located, Positions, json_value, positions
from policies.model import Policy
from policies.schema import read_policy

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24


def load(text: str) -> Policy:
    """The policy written in ``text``.

    Raises PolicySyntaxError when the text is not acceptable YAML, and PolicyInvalid with every problem when
    it is YAML but not a policy.
    """
    return load_located(text)[0]


# A version that is put in force is read when it is added, reviewed and compiled; what is read is frozen.
@lru_cache(maxsize=8)
def load_located(text: str) -> tuple[Policy, Positions]:
    """The policy, and the line and column of every part of it by its path: for whoever has more to say about it.

    Raises as ``load`` does.
    """
    problems: list[PolicyProblem] = []
    located = _located(_tree(text), problems)
    policy = read_policy(located, problems)
    if problems or policy is None:
        raise PolicyInvalid(tuple(sorted(problems)))
    return policy, positions(located)


def plain(text: str) -> Any:
    """The text as JSON values, read as the policy reader reads them. Raises as ``load`` does, for YAML's sake alone."""
    problems: list[PolicyProblem] = []
    located = _located(_tree(text), problems)
    if problems:
        raise PolicyInvalid(tuple(sorted(problems)))
    return json_value(located)


def _tree(text: str) -> yaml.Node:
    """The node tree of the text. Events are examined first, so that nothing dangerous is ever built."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _refused(1, 1, f"the policy is larger than {MAX_BYTES // 1024} KiB", "split it or shorten its comments")
    try:
        problems = tuple(_dangers(text))
        if problems:
            raise PolicySyntaxError(problems)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _refused(line, column, f"not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise _refused(line, column, "a character that YAML does not allow") from None
    if root is None:
        raise _refused(1, 1, "the policy is empty", "start with `policy: <name>`")
    return root


def _dangers(text: str) -> Iterator[PolicyProblem]:
    """Problems of YAML itself. Stops at the first excess of depth, because the rest cannot be composed
    safely."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            yield PolicyProblem(line, column, "", "anchors and aliases are not allowed", "write the value out")
        elif getattr(event, "tag", None) is not None:
            yield PolicyProblem(line, column, "", "tags such as !!str are not allowed", "remove the tag")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                yield PolicyProblem(line, column, "", "one file holds one policy", "remove everything from `---` on")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            yield PolicyProblem(line, column, "", f"nested deeper than {MAX_DEPTH} levels")
            return


def _located(node: yaml.Node, problems: list[PolicyProblem]) -> Located:
    """A node as plain values that remember their place. Duplicate and complex keys become problems."""
    mark = node.start_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if isinstance(node, yaml.ScalarNode):
        return Located(node.value, line, column, plain=node.style is None)
    if isinstance(node, yaml.SequenceNode):
        return Located([_located(item, problems) for item in node.value], line, column)
    entries: dict[str, tuple[Located, Located]] = {}
    for key_node, value_node in node.value:
        key = _located(key_node, problems)
        if not isinstance(key.value, str):
            problems.append(PolicyProblem(key.line, key.column, "", "a key must be a plain word"))
        elif key.value in entries:
            first = entries[key.value][0].line
            problems.append(PolicyProblem(key.line, key.column, "", f"`{key.value[:60]}` is already given in line {first}"))
        else:
            entries[key.value] = (key, _located(value_node, problems))
    return Located(entries, line, column)


def _refused(line: int, column: int, message: str, hint: str = "") -> PolicySyntaxError:
    return PolicySyntaxError((PolicyProblem(line, column, "", message, hint),))
