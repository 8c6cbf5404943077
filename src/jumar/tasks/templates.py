"""What a prompt asks for, where its verifier reads it: in a box, in a block, after `####`."""

from jumar.tasks.task import PromptTemplate

BOXED = PromptTemplate(
    user="{prompt}\n\nThink step by step and put the final answer in \\boxed{<answer>}"
)
LETTER = PromptTemplate(
    user="{prompt}\n\nThink step by step and put the letter of the answer in \\boxed{<letter>}"
)
PROGRAM = PromptTemplate(
    user="{prompt}\n\nEnd with the whole program in Python, in a block that ```python opens and "
    "``` closes."
)
WORKED = PromptTemplate(user="{prompt}\n\nThink step by step and end with: #### <answer>")
ONE_LINE = PromptTemplate(user="{prompt}\n\nEnd with one line: #### <answer>")
MANY_LINES = PromptTemplate(
    user="{prompt}\n\nEnd with a line #### and the answer on the lines below it: #### <answer>"
)
