"""The CloudFormation template that AWS makes of a SAM template, on standard output.

A linter of SAM templates does not see what the transform adds (permissions, event sources), nor circles that it closes.
Run with the Python of the SAM CLI; asks nobody over the network.
"""

import json
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def translated(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # Deploying uploads what is built, and says where it is.
            resource["Properties"]["CodeUri"] = "s3://somewhere/bootstrap.zip"
    # The template names managed policies by their ARN, so none has to be looked up.
    translator = Translator({}, Parser())
    return translator.translate(template, {})


if __name__ == "__main__":
    json.dump(translated(sys.argv[1]), sys.stdout, indent=2, sort_keys=True)
